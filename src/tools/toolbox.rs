//! The tools of one agent.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::stream::{self, Stream, StreamExt};

use super::arguments::action_key;
use super::builtin::{self, BuiltIn, refusal};
use super::http::HttpOffer;
use super::mcp::{self, McpOffer};
use super::services::ToolServices;
use super::switching;
use super::transfer::TargetTools;
use crate::conversation::{ToolAction, ToolEffect, ToolRequest, ToolWords};
use crate::engines::llm::{self, ToolSpec};
use crate::tenancy::{
    HttpTool, MAX_HTTP_TOOLS, MAX_MCP_SERVERS, McpServer, McpTool, ProfileSettings, TenantId, Tool,
    check_http_tool, check_mcp_server,
};

/// The longest arguments of a call, in bytes.
const MAX_ARGUMENTS: usize = 4_000;

/// Toolboxes that are listed at the same time.
const LISTED_AT_ONCE: usize = 4;

/// The tools of an agent, as its profile allows them.
#[derive(Default)]
pub struct Toolbox {
    specs: Arc<[ToolSpec]>,
    http: Vec<Arc<HttpOffer>>,
    /// The tools that lead to targets.
    targets: TargetTools,
    /// For the tool `switch_agent`.
    agents: Vec<String>,
    /// For the tool `set_language`.
    languages: Vec<String>,
    servers: Vec<ServerTools>,
}

/// The tools of an MCP server, from when it has listed them.
struct ServerTools {
    server: Arc<McpServer>,
    offers: OnceLock<Vec<Arc<McpOffer>>>,
}

impl ServerTools {
    fn unlisted(server: &Arc<McpServer>) -> ServerTools {
        ServerTools { server: server.clone(), offers: OnceLock::new() }
    }
}

/// A tool that a server of the tenant carries out.
#[derive(Clone)]
pub(super) enum TenantTool {
    Http(Arc<HttpOffer>),
    Mcp(Arc<McpOffer>),
}

/// A call of the model.
#[derive(Debug, PartialEq, Eq)]
pub enum Reading {
    /// The agent ends the call after its words.
    EndCall,
    Call(ToolRequest),
}

impl Toolbox {
    /// The tools of a profile. Those that do not exist or cannot work are left out: a profile may have been imported. So are
    /// those that need targets.
    pub fn new(settings: &ProfileSettings) -> Toolbox {
        let offered = Tool::ALL.iter().filter(|tool| settings.may(**tool));
        let builtin =
            offered.filter_map(|tool| builtin::spec(*tool).or_else(|| switching::spec(*tool, settings)));
        let mut names = BTreeSet::new();
        let sound = settings.http_tools.iter().filter(|tool| check_http_tool(tool).is_empty());
        let sound = sound.filter(|tool| names.insert(tool.name.clone()));
        let sound = sound.take(MAX_HTTP_TOOLS).cloned();
        let http: Vec<_> = sound.filter_map(|tool| HttpOffer::new(tool).ok().map(Arc::new)).collect();
        let specs = builtin.chain(http.iter().map(|offer| spec(&offer.tool))).collect();
        let sound = settings.mcp_servers.iter().filter(|server| check_mcp_server(server).is_empty());
        let sound = sound.filter(|server| {
            let is_new = !server.offered_names().any(|name| names.contains(&name));
            names.extend(server.offered_names());
            is_new
        });
        let servers = sound.take(MAX_MCP_SERVERS).cloned().map(Arc::new);
        let servers = servers.map(|server| ServerTools::unlisted(&server)).collect();
        let (agents, languages) = (settings.switch_to.clone(), settings.languages.clone());
        Toolbox { specs, http, targets: TargetTools::default(), agents, languages, servers }
    }

    /// The same tools for one call. Its MCP servers have not listed theirs yet.
    #[must_use]
    pub fn for_call(&self) -> Toolbox {
        Toolbox {
            specs: self.specs.clone(),
            http: self.http.clone(),
            targets: self.targets.clone(),
            agents: self.agents.clone(),
            languages: self.languages.clone(),
            servers: self.servers.iter().map(|tools| ServerTools::unlisted(&tools.server)).collect(),
        }
    }

    /// The same tools, and those that lead to targets.
    pub fn with_targets(&self, targets: TargetTools) -> Toolbox {
        let specs = self.specs.iter().cloned().chain(targets.specs());
        Toolbox { specs: specs.collect(), targets, ..self.for_call() }
    }

    /// Asks the MCP servers for their tools, which are offered from then on. A server that does not respond costs the call
    /// nothing but its tools.
    pub async fn list_mcp_tools(&self, services: &ToolServices, tenant: TenantId) -> Vec<McpProblem> {
        let listed = self.servers.iter().map(|tools| tools.list(services, tenant));
        join_all(listed).await.into_iter().flatten().collect()
    }

    /// The same for several toolboxes, a few at a time: the problems of each, as it is done.
    pub fn list_all(
        toolboxes: Vec<Arc<Toolbox>>,
        services: Arc<ToolServices>,
        tenant: TenantId,
    ) -> impl Stream<Item = Vec<McpProblem>> + Send {
        let listed = toolboxes.into_iter().map(move |toolbox| {
            let services = services.clone();
            async move { toolbox.list_mcp_tools(&services, tenant).await }
        });
        stream::iter(listed).buffer_unordered(LISTED_AT_ONCE)
    }

    /// The tool of this name that a server of the tenant carries out.
    pub(super) fn tenant_tool(&self, name: &str) -> Option<TenantTool> {
        let http = self.http.iter().find(|offer| offer.tool.name == name).cloned();
        let mcp = || self.offers().find(|offer| offer.name == name).cloned();
        http.map(TenantTool::Http).or_else(|| mcp().map(TenantTool::Mcp))
    }

    fn offers(&self) -> impl Iterator<Item = &Arc<McpOffer>> {
        self.servers.iter().filter_map(|tools| tools.offers.get()).flatten()
    }

    /// The specifications for the model.
    pub fn specs(&self) -> Arc<[ToolSpec]> {
        let mut offers = self.offers().map(|offer| offer.spec()).peekable();
        match offers.peek() {
            Some(_) => self.specs.iter().cloned().chain(offers).collect(),
            None => self.specs.clone(),
        }
    }

    /// Reads a call of the model. One that cannot be carried out is refused, with the reason for the model.
    pub fn read(&self, call: llm::ToolCall) -> Reading {
        let action = match self.action(&call) {
            Ok(BuiltIn::EndCall) => return Reading::EndCall,
            Ok(BuiltIn::Act(action)) => action,
            Err(reason) => ToolAction::Refuse { reason: refusal(&reason) },
        };
        let arguments = if call.arguments.len() > MAX_ARGUMENTS { "{}".into() } else { call.arguments };
        let effect = self.effect(&call.name, &arguments, &action);
        Reading::Call(ToolRequest { id: call.id, name: call.name, arguments, action, effect })
    }

    /// Requests that may change something act, as do keys that are sent. A transfer that failed may be tried again.
    fn effect(&self, name: &str, arguments: &str, action: &ToolAction) -> ToolEffect {
        let acts = match action {
            ToolAction::Run(_) | ToolAction::Start(_) => {
                self.tenant_tool(name).is_some_and(|tool| tool.acts())
            }
            ToolAction::SendDtmf { .. } => true,
            _ => false,
        };
        if acts { ToolEffect::Acts { key: action_key(name, arguments) } } else { ToolEffect::None }
    }

    fn action(&self, call: &llm::ToolCall) -> Result<BuiltIn, String> {
        if call.arguments.len() > MAX_ARGUMENTS {
            return Err(format!("the arguments are longer than {MAX_ARGUMENTS} bytes"));
        }
        if let Some(tool) = self.tenant_tool(&call.name) {
            let action = if tool.is_waited_for() { ToolAction::Run } else { ToolAction::Start };
            return Ok(BuiltIn::Act(action(tool.words())));
        }
        if !self.specs.iter().any(|spec| spec.name == call.name) {
            return Err("there is no such tool".to_owned());
        }
        let tool = call.name.parse().map_err(|_| "there is no such tool".to_owned())?;
        match tool {
            Tool::Transfer | Tool::Queue | Tool::Voicemail => {
                self.targets.read(tool, &call.arguments).map(BuiltIn::Act)
            }
            Tool::SwitchAgent => switching::agent(&call.arguments, &self.agents).map(BuiltIn::Act),
            Tool::SetLanguage => switching::language(&call.arguments, &self.languages).map(BuiltIn::Act),
            tool => builtin::read(tool, &call.arguments),
        }
    }
}

impl TenantTool {
    /// Any tool of an MCP server may: its annotations are hints only.
    fn acts(&self) -> bool {
        match self {
            TenantTool::Http(offer) => offer.tool.method.acts(),
            TenantTool::Mcp(_) => true,
        }
    }

    fn is_waited_for(&self) -> bool {
        let setting = match self {
            TenantTool::Http(offer) => offer.tool.wait,
            TenantTool::Mcp(offer) => offer.tool.wait,
        };
        setting.unwrap_or(true)
    }

    fn words(&self) -> ToolWords {
        let words = |words: &Option<String>| words.as_deref().map(Arc::from);
        let ((started, delayed, failed), delay) = match self {
            TenantTool::Http(offer) => {
                let tool = &offer.tool;
                ((&tool.say_started, &tool.say_delayed, &tool.say_failed), tool.say_delayed_after_ms)
            }
            TenantTool::Mcp(offer) => {
                let McpTool { say_started, say_delayed, say_failed, say_delayed_after_ms, .. } = &offer.tool;
                ((say_started, say_delayed, say_failed), *say_delayed_after_ms)
            }
        };
        ToolWords {
            started: words(started),
            delayed: words(delayed),
            delayed_after: delay.map(|ms| Duration::from_millis(ms.into())),
            failed: words(failed),
        }
    }
}

/// Tools of an MCP server that a call lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct McpProblem {
    pub server: String,
    /// The tool; all tools when absent.
    pub tool: Option<String>,
    pub problem: String,
}

impl McpProblem {
    /// The tool, or the server where all its tools are missing.
    pub fn name(&self) -> String {
        match &self.tool {
            Some(tool) => format!("{}/{tool}", self.server),
            None => self.server.clone(),
        }
    }
}

impl ServerTools {
    async fn list(&self, services: &ToolServices, tenant: TenantId) -> Vec<McpProblem> {
        let server = &self.server.name;
        let problem = |tool: Option<&str>, problem: String| {
            tracing::warn!(tenant_id = %tenant, server, tool, problem, "an MCP server's tools are not offered");
            McpProblem { server: server.clone(), tool: tool.map(str::to_owned), problem }
        };
        let listed = match mcp::list(services, tenant, &self.server).await {
            Ok(listed) => listed,
            Err(error) => return vec![problem(None, error)],
        };
        let (mut offers, mut problems) = (Vec::new(), Vec::new());
        for (tool, offer) in mcp::offers(&self.server, &listed) {
            match offer {
                Ok(offer) => offers.push(Arc::new(offer)),
                Err(error) => problems.push(problem(Some(tool), error.to_string())),
            }
        }
        // A repetition changes nothing: the call keeps the tools that it has.
        let _ = self.offers.set(offers);
        problems
    }
}

fn spec(tool: &HttpTool) -> ToolSpec {
    ToolSpec {
        name: tool.name.as_str().into(),
        description: tool.description.as_str().into(),
        parameters: Arc::new(tool.parameters.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toolbox(tools: &[&str]) -> Toolbox {
        let tools = tools.iter().map(|tool| (*tool).to_owned()).collect();
        Toolbox::new(&ProfileSettings { tools, ..ProfileSettings::default() })
    }

    fn call(name: &str, arguments: &str) -> llm::ToolCall {
        llm::ToolCall { id: "1".into(), name: name.into(), arguments: arguments.into() }
    }

    #[test]
    fn an_imported_tool_that_cannot_work_is_not_offered() {
        let tool = serde_json::json!({
            "name": "end_call", "description": "x", "method": "GET", "url": "https://{{host}}/",
            "parameters": { "type": "object" },
        });
        let settings = ProfileSettings {
            http_tools: vec![serde_json::from_value(tool).expect("a tool")],
            ..ProfileSettings::default()
        };
        assert_eq!(Toolbox::new(&settings).specs().len(), 0);
    }

    /// Servers of models refuse two tools of one name.
    #[test]
    fn of_imported_tools_with_one_name_the_first_is_offered() {
        let tool = |url: &str| {
            let tool = serde_json::json!({
                "name": "stock", "description": "x", "method": "GET", "url": url, "parameters": { "type": "object" },
            });
            serde_json::from_value(tool).expect("a tool")
        };
        let http_tools = vec![tool("https://example.com/1"), tool("https://example.com/2")];
        let toolbox = Toolbox::new(&ProfileSettings { http_tools, ..ProfileSettings::default() });
        assert_eq!(toolbox.specs().len(), 1);
        let Some(TenantTool::Http(offer)) = toolbox.tenant_tool("stock") else { panic!("no tool") };
        assert_eq!(offer.tool.url, "https://example.com/1");
    }

    #[test]
    fn of_imported_servers_with_a_tool_of_one_name_the_first_is_asked() {
        let http = serde_json::json!({
            "name": "oven_bake", "description": "x", "method": "GET", "url": "https://example.com/",
            "parameters": { "type": "object" },
        });
        let server = |name: &str, url: &str, tool: &str| {
            let server = serde_json::json!({ "name": name, "url": url, "tools": [{ "name": tool }] });
            serde_json::from_value(server).expect("a server")
        };
        let mcp_servers = vec![
            server("shop", "https://example.com/1", "stock"),
            server("shop", "https://example.com/2", "stock"),
            server("shop", "https://example.com/3", "order"),
            server("oven", "https://example.com/4", "bake"),
        ];
        let http_tools = vec![serde_json::from_value(http).expect("a tool")];
        let toolbox =
            Toolbox::new(&ProfileSettings { http_tools, mcp_servers, ..ProfileSettings::default() });
        let urls: Vec<&str> = toolbox.servers.iter().map(|tools| tools.server.url.as_str()).collect();
        assert_eq!(urls, ["https://example.com/1", "https://example.com/3"]);
    }

    /// The schema is compiled when the call rings, not in each call of the tool.
    #[test]
    fn a_call_and_its_languages_share_compiled_schemas() {
        let tool = serde_json::json!({
            "name": "stock", "description": "x", "method": "GET", "url": "https://example.com/",
            "parameters": { "type": "object" },
        });
        let http_tools = vec![serde_json::from_value(tool).expect("a tool")];
        let toolbox = Toolbox::new(&ProfileSettings { http_tools, ..ProfileSettings::default() });
        let offers = [&toolbox, &toolbox.for_call()].map(|toolbox| match toolbox.tenant_tool("stock") {
            Some(TenantTool::Http(offer)) => offer,
            _ => panic!("no tool"),
        });
        assert!(Arc::ptr_eq(&offers[0], &offers[1]));
    }

    #[test]
    fn a_tool_without_wait_runs_in_the_background() {
        let tool = |wait: Option<bool>| {
            let tool = serde_json::json!({
                "name": "book", "description": "x", "method": "POST", "url": "https://example.com/",
                "parameters": { "type": "object" }, "say_started": "I am booking it.", "wait": wait,
            });
            let http_tools = vec![serde_json::from_value(tool).expect("a tool")];
            Toolbox::new(&ProfileSettings { http_tools, ..ProfileSettings::default() })
        };
        for (wait, is_waited_for) in [(None, true), (Some(true), true), (Some(false), false)] {
            let Reading::Call(read) = tool(wait).read(call("book", "{}")) else { panic!("hangs up") };
            assert_eq!(matches!(read.action, ToolAction::Run(_)), is_waited_for, "{wait:?}");
            assert_eq!(matches!(read.action, ToolAction::Start(_)), !is_waited_for, "{wait:?}");
        }
    }

    #[test]
    fn equal_calls_of_a_tool_that_acts_are_the_same_action() {
        let tool = |name: &str, method: &str| {
            let tool = serde_json::json!({
                "name": name, "description": "x", "method": method, "url": "https://example.com/",
                "parameters": { "type": "object" },
            });
            serde_json::from_value(tool).expect("a tool")
        };
        let http_tools = vec![tool("stock", "GET"), tool("order", "POST"), tool("cancel", "DELETE")];
        let toolbox = Toolbox::new(&ProfileSettings { http_tools, ..ProfileSettings::default() });
        let effect = |name: &str, arguments: &str| match toolbox.read(call(name, arguments)) {
            Reading::Call(read) => read.effect,
            Reading::EndCall => panic!("{name} ends the call"),
        };
        assert_eq!(effect("stock", "{}"), ToolEffect::None);
        assert_eq!(effect("fly", "{}"), ToolEffect::None);
        let rye = effect("order", r#"{"bread":"rye","count":2}"#);
        assert!(matches!(rye, ToolEffect::Acts { .. }));
        assert_eq!(effect("order", r#"{ "count": 2, "bread": "rye" }"#), rye);
        for (name, arguments) in [
            ("order", r#"{"bread":"rye","count":3}"#),
            ("order", r#"{"bread":"rye"}"#),
            ("order", "rye"),
            ("cancel", r#"{"bread":"rye","count":2}"#),
        ] {
            assert_ne!(effect(name, arguments), rye, "{name}({arguments})");
        }
    }

    #[test]
    fn only_tools_of_the_profile_are_offered_and_carried_out() {
        let toolbox = toolbox(&["send_dtmf", "end_call", "fly"]);
        let names: Vec<_> = toolbox.specs().iter().map(|spec| spec.name.to_string()).collect();
        assert_eq!(names, ["end_call", "send_dtmf"]);
        assert_eq!(toolbox.read(call("end_call", "")), Reading::EndCall);
        let Reading::Call(sent) = toolbox.read(call("send_dtmf", r#"{"keys":"1"}"#)) else {
            panic!("hangs up")
        };
        assert!(matches!(sent.action, ToolAction::SendDtmf { .. }));
        let long = format!(r#"{{"keys":"{}"}}"#, "1".repeat(MAX_ARGUMENTS));
        for (name, arguments) in [
            ("collect_digits", r#"{"max_digits":1}"#),
            ("fly", "{}"),
            ("END_CALL", "{}"),
            ("send_dtmf", &long),
        ] {
            let Reading::Call(refused) = toolbox.read(call(name, arguments)) else {
                panic!("{name} hangs up")
            };
            assert!(matches!(refused.action, ToolAction::Refuse { .. }), "{name}");
            assert!(refused.arguments.len() <= MAX_ARGUMENTS);
        }
    }
}
