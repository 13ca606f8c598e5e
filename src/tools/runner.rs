//! Runs the tools of one call, each in a task that ends with the call.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tracing::Instrument;

use super::builtin::{Remembered, remembered};
use super::http::HttpCall;
use super::mcp::{McpCall, McpSessions};
use super::reply::{KeptValues, ToolReply};
use super::toolbox::TenantTool;
use super::{ToolServices, Toolbox};
use crate::conversation::{ToolAction, ToolEffect, ToolId, ToolOutcome, ToolRequest, TurnId};
use crate::dtmf::{Digit, Tone};
use crate::tenancy::{CallId, MAX_FIELDS, TenantId};

/// Tools of one call that are waited for and run at the same time. The conversation limits those in the background.
const MAX_RUNNING: usize = 4;

/// The time that a key takes: the tone and the pause after it, as `ari` sends them.
const KEY: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(500);

/// A tool is finished. `result` is the text that the model reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub tool: ToolId,
    pub outcome: ToolOutcome,
    pub result: Arc<str>,
}

/// The call that tools run for.
#[derive(Debug, Clone, Copy)]
pub struct CallOf {
    pub tenant: TenantId,
    pub call: CallId,
}

pub struct Runner {
    of: CallOf,
    toolbox: Arc<Toolbox>,
    services: Arc<ToolServices>,
    running: Arc<Semaphore>,
    tasks: JoinSet<()>,
    reports: mpsc::Sender<ToolReport>,
    results: mpsc::Receiver<ToolReport>,
    /// Masked entries of keys, by the reference that the model has.
    entries: BTreeMap<String, String>,
    /// Fields of responses, for later requests.
    variables: KeptValues,
    sessions: Arc<McpSessions>,
}

/// A request to a server of the tenant.
enum TenantRequest {
    Http(HttpCall),
    Mcp(McpCall),
}

impl TenantRequest {
    async fn send(&self, services: &ToolServices) -> ToolReply {
        match self {
            TenantRequest::Http(call) => call.send(services).await,
            TenantRequest::Mcp(call) => call.send(services).await,
        }
    }
}

/// A finished tool, and the fields of its response that are kept.
struct ToolReport {
    tool: ToolId,
    outcome: ToolReply,
}

impl Runner {
    pub fn new(of: CallOf, toolbox: Arc<Toolbox>, services: Arc<ToolServices>) -> Runner {
        let (reports, results) = mpsc::channel(MAX_RUNNING);
        Runner {
            of,
            toolbox,
            services,
            running: Arc::new(Semaphore::new(MAX_RUNNING)),
            tasks: JoinSet::new(),
            reports,
            results,
            entries: BTreeMap::new(),
            variables: KeptValues::new(),
            sessions: Arc::default(),
        }
    }

    /// From now on the call has the tools of another agent. Results, entries and variables stay.
    pub fn use_toolbox(&mut self, toolbox: Arc<Toolbox>) {
        self.toolbox = toolbox;
    }

    /// Runs a tool once, for the caller's request that began in the turn `request`, and reports its result. A field to remember is
    /// returned instead: report it by [`Runner::remembered`].
    pub fn run(&mut self, tool: ToolId, request: TurnId, call: &ToolRequest) -> Option<Remembered> {
        if let Some(wanted) = self.toolbox.tenant_tool(&call.name) {
            self.request(tool, wanted, request, call);
            return None;
        }
        match remembered(&call.arguments) {
            Ok(remembered) => return Some(remembered),
            Err(reason) => self.report(tool, ToolReply::refused(&reason)),
        }
        None
    }

    /// The idempotency key: one for the same action of the same request of the caller, else one for each call of a tool.
    fn key(&self, id: ToolId, request: TurnId, effect: &ToolEffect) -> String {
        match effect {
            ToolEffect::Acts { key } => format!("{}-{}-{key}", self.of.call, request.0),
            ToolEffect::None => format!("{}-{}", self.of.call, id.0),
        }
    }

    fn prepared(&self, key: String, tool: TenantTool, arguments: &str) -> Result<TenantRequest, String> {
        let CallOf { tenant, .. } = self.of;
        let entries = &self.entries;
        match tool {
            TenantTool::Http(offer) => {
                HttpCall::new(&offer, tenant, arguments, entries, self.variables.clone(), key)
                    .map(TenantRequest::Http)
            }
            TenantTool::Mcp(offer) => {
                McpCall::new(offer, tenant, arguments, entries, &self.variables, key, self.sessions.clone())
                    .map(TenantRequest::Mcp)
            }
        }
    }

    fn request(&mut self, id: ToolId, tool: TenantTool, request: TurnId, call: &ToolRequest) {
        let tenant = self.of.tenant;
        let key = self.key(id, request, &call.effect);
        let request = match self.prepared(key, tool, &call.arguments) {
            Ok(request) => request,
            Err(reason) => return self.report(id, ToolReply::refused(&reason)),
        };
        let Some(slot) = self.services.slot(tenant) else {
            tracing::warn!(tenant_id = %tenant, "a tool was refused: the tenant has tools.max_concurrent_per_tenant running");
            return self.report(id, ToolReply::refused("too many tools are running: try again later"));
        };
        let services = self.services.clone();
        let is_in_background = matches!(call.action, ToolAction::Start(_));
        let running = (!is_in_background).then(|| self.running.clone());
        self.start(async move {
            // The semaphore is never closed.
            let _running = match running {
                Some(running) => running.acquire_owned().await.ok(),
                None => None,
            };
            let outcome = request.send(&services).await;
            drop(slot);
            ToolReport { tool: id, outcome }
        });
    }

    /// Reports a field as kept, or as one too many.
    pub fn remembered(&mut self, tool: ToolId, is_kept: bool) {
        if is_kept {
            self.report(tool, ToolReply::done(r#"{"status":"kept"}"#));
        } else {
            self.report(tool, ToolReply::refused(&format!("{MAX_FIELDS} fields are kept already")));
        }
    }

    fn report(&mut self, tool: ToolId, outcome: ToolReply) {
        self.start(async move { ToolReport { tool, outcome } });
    }

    /// Keeps a masked entry for the tools that follow.
    pub fn keep_entry(&mut self, reference: String, keys: &[Digit]) {
        self.entries.insert(reference, keys.iter().map(|key| key.as_char()).collect());
    }

    /// Reports keys as sent once the last of them is over.
    pub fn dtmf_sent(&mut self, tool: ToolId, keys: &[Tone]) {
        let time = |key: &Tone| match key {
            Tone::Key(_) => KEY,
            Tone::Pause => PAUSE,
        };
        let lasting: Duration = keys.iter().map(time).sum();
        self.start(async move {
            tokio::time::sleep(lasting).await;
            ToolReport { tool, outcome: ToolReply::done(r#"{"status":"sent"}"#) }
        });
    }

    /// The next tool that is finished. Waits for one; dropping the future loses none.
    pub async fn next(&mut self) -> Finished {
        let Some(ToolReport { tool, outcome: ToolReply { outcome, result, kept } }) =
            self.results.recv().await
        else {
            // The runner has a sender of its own, so the queue does not close.
            return std::future::pending().await;
        };
        self.variables.extend(kept);
        Finished { tool, outcome, result: without_entries(&result, &self.entries) }
    }

    fn start(&mut self, task: impl Future<Output = ToolReport> + Send + 'static) {
        // Removes finished tasks, so that a long call holds no more than a short one.
        while self.tasks.try_join_next().is_some() {}
        let reports = self.reports.clone();
        let task = async move { drop(reports.send(task.await).await) };
        self.tasks.spawn(task.in_current_span());
    }
}

/// The text with `***` in place of masked entries, which a server may repeat: runs of digits that are equal to one, also as a
/// number without its leading zeros, and entries with other keys.
fn without_entries(text: &str, entries: &BTreeMap<String, String>) -> Arc<str> {
    let is_number = |entry: &&String| entry.chars().all(|key| key.is_ascii_digit());
    let (numbers, others): (Vec<&String>, Vec<&String>) = entries.values().partition(is_number);
    // A single key such as * is no secret, and may be anywhere.
    let others = others.into_iter().filter(|entry| entry.len() > 1);
    let text = others.fold(text.to_owned(), |text, entry| text.replace(entry.as_str(), "***"));
    let is_entry = |digits: &str| {
        numbers.iter().any(|entry| *entry == digits || entry.trim_start_matches('0') == digits)
    };
    let mut masked = String::with_capacity(text.len());
    let mut rest = text.as_str();
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let end =
            rest[start..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |length| start + length);
        let digits = &rest[start..end];
        masked.push_str(&rest[..start]);
        masked.push_str(if is_entry(digits) { "***" } else { digits });
        rest = &rest[end..];
    }
    masked.push_str(rest);
    masked.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masked_entries_are_recognised_in_every_form() {
        let entries = ["0471", "12*4#", "*"];
        let entries =
            entries.iter().enumerate().map(|(at, keys)| (format!("keypad-{at}"), (*keys).to_owned()));
        let text = r#"{"text":"0471","number":471,"other":[47,4710],"keys":"x12*4#y","star":"*"}"#;
        let masked = r#"{"text":"***","number":***,"other":[47,4710],"keys":"x***y","star":"*"}"#;
        assert_eq!(&*without_entries(text, &entries.collect()), masked);
        assert_eq!(&*without_entries("4711", &BTreeMap::new()), "4711");
    }
}
