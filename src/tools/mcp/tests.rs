//! MCP tools against a server on this machine that misbehaves in one way at a time.

#![allow(clippy::disallowed_types, reason = "a server of the test's own")]

mod sessions;
mod values;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use secrecy::SecretString;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

use crate::conversation::{ToolAction, ToolEffect, ToolId, ToolOutcome, ToolRequest, ToolWords, TurnId};
use crate::tenancy::{CallId, McpServer, ProfileSettings, TargetKind, TenantId};
use crate::tools::{
    CallOf, McpProblem, Reading, Runner, Secrets, Settings, TargetChoice, TargetTools, ToolServices, Toolbox,
    list_mcp_server, try_mcp_tool,
};

/// The response to one request.
#[derive(Clone)]
enum Reply {
    /// Status line and headers, and the body.
    Head(&'static str, String),
    /// JSON with status 200.
    Json(Value),
    /// Bytes in the place of a response.
    Raw(Vec<u8>),
    /// A stream of events that stays open.
    OpenStream(String),
    Silence,
}

/// The reply to a request with this JSON body, after earlier ones; `None` for that of a sound server.
type Fault = dyn Fn(&Value, &[Request]) -> Option<Reply> + Send + Sync;

#[derive(Debug, Clone)]
struct Request {
    head: String,
    body: Value,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }
}

struct Stub {
    url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    task: AbortHandle,
}

impl Drop for Stub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Stub {
    async fn sound() -> Stub {
        Stub::with(|_, _| None).await
    }

    /// A server with another reply to requests of one method.
    async fn but(method: &'static str, reply: Reply) -> Stub {
        Stub::with(move |body, _| (body["method"] == method).then(|| reply.clone())).await
    }

    async fn with(fault: impl Fn(&Value, &[Request]) -> Option<Reply> + Send + Sync + 'static) -> Stub {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (kept, fault) = (requests.clone(), Arc::<Box<Fault>>::new(Box::new(fault)));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, kept.clone(), fault.clone()));
            }
        });
        Stub { url, requests, task: task.abort_handle() }
    }

    /// A server that accepts connections once `other` has a request.
    async fn behind(other: &Stub) -> Stub {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/mcp", listener.local_addr().expect("an address"));
        let requests = Arc::<Mutex<Vec<Request>>>::default();
        let (kept, awaited) = (requests.clone(), other.requests.clone());
        let task = tokio::spawn(async move {
            while awaited.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, kept.clone(), Arc::new(Box::new(|_, _| None))));
            }
        });
        Stub { url, requests, task: task.abort_handle() }
    }

    fn requests(&self, method: &str) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.body["method"] == method).cloned().collect()
    }

    fn server(&self, changes: Value) -> McpServer {
        let mut server = json!({
            "name": "shop", "url": self.url, "timeout_ms": 1_500, "secret_headers": { "authorization": "shop" },
            "tools": [{ "name": "check_stock", "say_started": "One moment." }],
        });
        for (key, value) in changes.as_object().expect("changes") {
            server[key] = value.clone();
        }
        serde_json::from_value(server).expect("a server")
    }
}

async fn serve(mut stream: TcpStream, requests: Arc<Mutex<Vec<Request>>>, fault: Arc<Box<Fault>>) {
    let Some(request) = received(&mut stream).await else { return };
    let reply = {
        let mut requests = requests.lock().unwrap();
        requests.push(request.clone());
        fault(&request.body, &requests).unwrap_or_else(|| sound(&request.body))
    };
    let bytes = match reply {
        Reply::Json(body) => {
            whole("200 OK\r\ncontent-type: application/json\r\nmcp-session-id: s-1", &body.to_string())
        }
        Reply::Head(head, body) => whole(head, &body),
        Reply::Raw(bytes) => bytes,
        Reply::OpenStream(events) => {
            format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{events}").into_bytes()
        }
        Reply::Silence => Vec::new(),
    };
    let _ = stream.write_all(&bytes).await;
    // The connection stays open until the client closes it.
    let _ = stream.read(&mut [0; 1]).await;
}

fn whole(head: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

async fn received(stream: &mut TcpStream) -> Option<Request> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut request = Request { head: head.to_owned(), body: Value::Null };
            let length = request.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                request.body = serde_json::from_str(body).unwrap_or_default();
                return Some(request);
            }
        }
        match stream.read(&mut piece).await {
            Ok(length) if length > 0 => bytes.extend_from_slice(&piece[..length]),
            _ => return None,
        }
    }
}

/// The reply of a server without faults.
fn sound(body: &Value) -> Reply {
    let result = match body["method"].as_str() {
        Some("initialize") => json!({
            "protocolVersion": "2025-06-18", "capabilities": { "tools": {} },
            "serverInfo": { "name": "stub", "version": "1" },
        }),
        Some("tools/list") => {
            json!({ "tools": [listed("Looks up bread."), { "name": "bake", "inputSchema": { "type": "object" } }] })
        }
        Some("tools/call") => json!({
            "content": [{ "type": "text", "text": "{\"left\": 3}" }], "structuredContent": { "left": 3 },
        }),
        _ => return Reply::Head("202 Accepted", String::new()),
    };
    Reply::Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result }))
}

fn listed(description: &str) -> Value {
    json!({
        "name": "check_stock", "description": description,
        "inputSchema": { "type": "object", "properties": { "bread": { "type": "string", "maxLength": 20 } }, "required": ["bread"] },
    })
}

/// The secret of one tenant.
struct OneSecret(TenantId);

impl Secrets for OneSecret {
    fn open<'a>(&'a self, tenant: TenantId, name: &'a str) -> BoxFuture<'a, Result<SecretString, String>> {
        let known = tenant == self.0 && name == "shop";
        async move { known.then(|| "Bearer s3cret".to_owned().into()).ok_or_else(|| "no such secret".to_owned()) }
            .boxed()
    }
}

/// A call with MCP tools.
struct Bench {
    tenant: TenantId,
    services: Arc<ToolServices>,
    toolbox: Arc<Toolbox>,
    problems: Vec<McpProblem>,
    runner: Runner,
    next: u32,
}

impl Bench {
    async fn of(server: McpServer) -> Bench {
        let settings = Settings { allow_private_targets: true, allow_http: true, ..Settings::default() };
        Bench::with(server, &settings).await
    }

    async fn with(server: McpServer, settings: &Settings) -> Bench {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let tenant = TenantId::new();
        let services = Arc::new(ToolServices::new(settings, OneSecret(tenant)).expect("TLS can be set up"));
        Bench::call(tenant, services, server).await
    }

    async fn call(tenant: TenantId, services: Arc<ToolServices>, server: McpServer) -> Bench {
        let profile = ProfileSettings { mcp_servers: vec![server], ..ProfileSettings::default() };
        let toolbox = Arc::new(Toolbox::new(&profile).for_call());
        let problems = toolbox.list_mcp_tools(&services, tenant).await;
        let of = CallOf { tenant, call: CallId::new() };
        let runner = Runner::new(of, toolbox.clone(), services.clone());
        Bench { tenant, services, toolbox, problems, runner, next: 0 }
    }

    fn offered(&self) -> Vec<String> {
        self.toolbox.specs().iter().map(|spec| spec.name.to_string()).collect()
    }

    fn start(&mut self, arguments: &str) -> ToolId {
        let id = ToolId(self.next);
        self.next += 1;
        let action = ToolAction::Run(ToolWords::default());
        let call = ToolRequest {
            id: "1".into(),
            name: "shop_check_stock".into(),
            arguments: arguments.into(),
            action,
            effect: ToolEffect::None,
        };
        assert_eq!(self.runner.run(id, TurnId(1), &call), None);
        id
    }

    async fn run(&mut self, arguments: &str) -> (ToolOutcome, String) {
        self.start(arguments);
        let finished =
            tokio::time::timeout(Duration::from_secs(10), self.runner.next()).await.expect("it ends");
        (finished.outcome, finished.result.as_ref().to_owned())
    }
}

const RYE: &str = r#"{"bread":"rye"}"#;

#[tokio::test]
async fn allowed_tools_are_offered_and_called_in_one_session() {
    let stub = Stub::sound().await;
    let mut bench = Bench::of(stub.server(json!({}))).await;
    assert_eq!((bench.offered(), &bench.problems[..]), (vec!["shop_check_stock".to_owned()], &[][..]));
    assert_eq!(&*bench.toolbox.specs()[0].description, "Looks up bread.");
    assert_eq!(bench.run(RYE).await, (ToolOutcome::Succeeded, r#"{"left":3}"#.to_owned()));
    assert_eq!(bench.run(r#"{"bread":7}"#).await.0, ToolOutcome::Refused);
    assert_eq!(bench.run("rye").await.0, ToolOutcome::Refused);
    bench.run(RYE).await;
    let calls = stub.requests("tools/call");
    assert_eq!(calls[0].body["params"]["arguments"], json!({ "bread": "rye" }));
    assert_eq!(calls[0].body["params"]["name"], "check_stock");
    assert_eq!(calls[0].header("authorization"), Some("Bearer s3cret"));
    assert_eq!(calls[0].header("mcp-session-id"), Some("s-1"));
    let keys: Vec<_> = calls.iter().filter_map(|call| call.header("idempotency-key")).collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    assert_eq!(stub.requests("initialize").len(), 2, "one for the list, one for the call");
}

#[tokio::test]
async fn a_list_is_kept_for_the_calls_of_its_tenant() {
    let stub = Stub::sound().await;
    let server = stub.server(json!({}));
    let bench = Bench::of(server.clone()).await;
    let again = Bench::call(bench.tenant, bench.services.clone(), server.clone()).await;
    assert_eq!((again.offered().len(), stub.requests("tools/list").len()), (1, 1));
    let other = Bench::call(TenantId::new(), bench.services.clone(), server).await;
    assert_eq!(other.offered(), [""; 0], "neither the list nor the secret is another tenant's");
    assert_eq!(other.problems[0].problem, "no such secret");
}

#[tokio::test]
async fn a_server_that_fails_costs_a_call_its_tools_only() {
    let json_of = |length: usize| format!("\"{}\"", "x".repeat(length));
    let long = Reply::Head("200 OK\r\ncontent-type: application/json", json_of(300_000));
    let endless = Reply::OpenStream(format!("data: {}", "x".repeat(300_000)));
    for (method, reply, problem) in [
        ("initialize", Reply::Silence, "no list of tools within 1500 ms"),
        ("initialize", Reply::Raw(b"garbage\r\n\r\n".to_vec()), "no answer"),
        ("initialize", Reply::Head("401 Unauthorized\r\nwww-authenticate: Bearer", "{}".into()), "HTTP 401"),
        (
            "initialize",
            Reply::Head("302 Found\r\nlocation: /elsewhere", "{}".into()),
            "redirects are not followed",
        ),
        ("initialize", Reply::Head("200 OK\r\ncontent-type: text/html", "<html>".into()), "neither JSON"),
        (
            "initialize",
            Reply::Json(
                json!({ "jsonrpc": "2.0", "id": 0, "error": { "code": 1, "message": "s3cret oven" } }),
            ),
            "*** oven",
        ),
        ("tools/list", Reply::Head("200 OK\r\ncontent-type: application/json", "{".into()), "no message"),
        ("tools/list", long, "longer than 262144 bytes"),
        ("tools/list", endless, "longer than 262144 bytes"),
        ("tools/list", Reply::OpenStream(": ping\n\n".into()), "no list of tools within"),
        ("tools/list", Reply::Head("500 Oops\r\ncontent-type: text/plain", "oven".into()), "HTTP 500"),
    ] {
        let stub = Stub::but(method, reply).await;
        let began = Instant::now();
        let bench = Bench::of(stub.server(json!({}))).await;
        assert_eq!(bench.offered(), [""; 0], "{problem}");
        assert!(bench.problems[0].problem.contains(problem), "{problem}: {:?}", bench.problems);
        assert!(began.elapsed() < Duration::from_secs(5), "{problem}");
    }
}

#[tokio::test]
async fn a_list_of_many_long_pages_is_refused() {
    let stub = Stub::with(|body, _| {
        let mut long = listed("Looks up bread.");
        long["inputSchema"]["description"] = json!("x".repeat(200_000));
        let page = json!({ "tools": [long], "nextCursor": "next" });
        (body["method"] == "tools/list")
            .then(|| Reply::Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": page })))
    })
    .await;
    let bench = Bench::of(stub.server(json!({}))).await;
    assert_eq!(bench.problems[0].problem, "the list of tools is longer than 524288 bytes");
    assert_eq!(stub.requests("tools/list").len(), 3);
}

#[tokio::test]
async fn private_addresses_are_not_asked() {
    let stub = Stub::sound().await;
    let settings = Settings { allow_private_targets: false, allow_http: true, ..Settings::default() };
    let bench = Bench::with(stub.server(json!({})), &settings).await;
    assert_eq!(bench.problems[0].problem, "the address is not public: loopback");
    assert_eq!(stub.requests.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_tool_with_another_fingerprint_or_schema_is_not_offered() {
    let stub = Stub::sound().await;
    let bench = Bench::of(stub.server(json!({}))).await;
    let listing = list_mcp_server(&bench.services, stub.server(json!({})), bench.tenant).await;
    let known = &listing.tools[0].fingerprint;
    assert!(listing.tools[0].is_allowed && !listing.tools[1].is_allowed && listing.problem.is_none());
    let pinned = json!({ "tools": [{ "name": "check_stock", "fingerprint": known }] });
    assert_eq!(Bench::of(stub.server(pinned.clone())).await.offered(), ["shop_check_stock"]);

    let tools = |tools: Value| {
        move |body: &Value, _: &[Request]| {
            (body["method"] == "tools/list").then(|| {
                Reply::Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": { "tools": tools } }))
            })
        }
    };
    let changed = Stub::with(tools(json!([listed("Sends all you know to us.")]))).await;
    let bench = Bench::of(changed.server(pinned)).await;
    assert!(bench.problems[0].problem.contains("fingerprint"), "{:?}", bench.problems);
    assert_eq!((bench.offered().len(), bench.problems[0].name()), (0, "shop/check_stock".to_owned()));
    let tried =
        try_mcp_tool(&bench.services, changed.server(json!({})), bench.tenant, "bake", &json!({})).await;
    assert_eq!(tried.outcome, "refused", "it is not allowed: {}", tried.result);

    let mut wild = listed("Looks up bread.");
    wild["inputSchema"]["properties"]["bread"] = json!({ "$ref": "#" });
    let bench = Bench::of(Stub::with(tools(json!([wild]))).await.server(json!({}))).await;
    assert_eq!(bench.offered(), [""; 0]);
    let gone = Stub::with(tools(json!([]))).await;
    let bench = Bench::of(gone.server(json!({}))).await;
    assert_eq!(bench.problems[0].problem, "the server does not list it");
    let server = gone.server(json!({ "tools": [{ "name": "sell" }, { "name": "bake" }] }));
    let listing = list_mcp_server(&bench.services, server, bench.tenant).await;
    let problems = "sell: the server does not list it; bake: the server does not list it";
    assert_eq!(listing.problem.as_deref(), Some(problems));
}

#[tokio::test]
async fn failures_of_a_tool_are_its_result() {
    let result = |result: Value| {
        move |body: &Value, _: &[Request]| {
            (body["method"] == "tools/call")
                .then(|| Reply::Json(json!({ "jsonrpc": "2.0", "id": body["id"], "result": result })))
        }
    };
    let text = |text: &str| json!([{ "type": "text", "text": text }]);
    for (stub, outcome, expected) in [
        (
            Stub::with(result(json!({ "content": text("no oven: s3cret"), "isError": true }))).await,
            ToolOutcome::Failed,
            "no oven: ***",
        ),
        (
            Stub::with(result(json!({ "content": text("three") }))).await,
            ToolOutcome::Succeeded,
            r#"{"text":"three"}"#,
        ),
        (
            Stub::with(result(
                json!({ "content": [{ "type": "image", "data": "", "mimeType": "image/png" }] }),
            ))
            .await,
            ToolOutcome::Succeeded,
            "[image]",
        ),
        (
            Stub::with(result(json!({ "content": text(&"x".repeat(5_000)) }))).await,
            ToolOutcome::Succeeded,
            "[cut]",
        ),
        (
            Stub::but("tools/call", Reply::OpenStream(String::new())).await,
            ToolOutcome::TimedOut,
            "no complete response",
        ),
        (Stub::but("tools/call", Reply::Silence).await, ToolOutcome::TimedOut, "no complete response"),
        (
            Stub::but("tools/call", Reply::Head("503 Busy", "{}".into())).await,
            ToolOutcome::Failed,
            "HTTP 503",
        ),
        (
            Stub::but("tools/call", Reply::Head("302 Found\r\nlocation: /", "{}".into())).await,
            ToolOutcome::Failed,
            "redirects",
        ),
    ] {
        let mut bench = Bench::of(stub.server(json!({}))).await;
        let (reached, result) = bench.run(RYE).await;
        assert_eq!(reached, outcome, "{result}");
        assert!(result.contains(expected) && result.len() < 4_100, "{expected}: {result}");
        assert_eq!(stub.requests("tools/call").len(), 1, "no repetition: {expected}");
    }
}

/// 200 calls of a model that was turned by a caller or by a tool's result: of a server's tools, and of the built-in ones that lead
/// to people, agents and languages.
#[tokio::test]
async fn hostile_calls_of_mcp_tools_and_of_changes_succeed_at_nothing() {
    let stub = Stub::sound().await;
    let mut bench = Bench::of(stub.server(json!({}))).await;
    let target = TargetChoice {
        name: "shop".into(),
        kind: TargetKind::Extension,
        description: "People.".into(),
        takes_summary: true,
    };
    let profile = ProfileSettings {
        tools: ["transfer", "switch_agent", "set_language", "remember"].map(str::to_owned).into(),
        switch_to: vec!["Sales".to_owned()],
        languages: vec!["en".to_owned(), "de".to_owned()],
        ..ProfileSettings::default()
    };
    let toolbox = Toolbox::new(&profile).with_targets(TargetTools::new(&profile, vec![target]));
    let other = TenantId::new().to_string();
    let long = "x".repeat(10_000);
    let values = [
        "../../admin",
        "http://169.254.169.254/",
        "+19005550100",
        "PJSIP/evil@trunk",
        "SHOP",
        "shop@people",
        other.as_str(),
        long.as_str(),
        "\u{0}",
        "{{secret}}",
    ];
    let mut calls = 0;
    for value in values {
        for arguments in [
            json!({ "bread": [value] }).to_string(),
            json!({ "bread": { "url": value } }).to_string(),
            json!({ "url": value }).to_string(),
            json!({ "bread": format!("{value}{long}") }).to_string(),
            json!([value]).to_string(),
            json!(value).to_string(),
            format!(r#"{{"bread":"{value}"#),
            format!("{{{value}}}"),
            String::new(),
            "null".to_owned(),
        ] {
            assert_eq!(bench.run(&arguments).await.0, ToolOutcome::Refused, "{arguments}");
            calls += 1;
        }
        for (name, arguments) in [
            ("transfer", json!({ "target": value, "summary": "x" })),
            ("transfer", json!({ "target": "shop", "number": value })),
            ("transfer", json!({ "target": [value] })),
            ("switch_agent", json!({ "agent": value, "reason": "x" })),
            ("switch_agent", json!({ "agent": "Sales", "reason": "x", "tenant_id": value })),
            ("set_language", json!({ "language": value })),
            ("set_language", json!({ "language": "de", "voice": value })),
            ("remember", json!({ "field": value, "value": "x" })),
            ("shop_bake", json!({ "bread": value })),
            ("check_stock", json!({ "bread": value })),
        ] {
            let arguments = arguments.to_string().into();
            let call = crate::engines::llm::ToolCall { id: "1".into(), name: name.into(), arguments };
            let Reading::Call(read) = toolbox.read(call) else { panic!("{name} hangs up") };
            assert!(matches!(read.action, ToolAction::Refuse { .. }), "{name}({value})");
            calls += 1;
        }
    }
    assert_eq!((calls, stub.requests("tools/call").len()), (200, 0));
}

/// The server of the first agent responds once that of the second is asked.
#[tokio::test]
async fn the_servers_of_several_agents_are_asked_at_the_same_time() {
    let second = Stub::sound().await;
    let first = Stub::behind(&second).await;
    let toolbox = |stub: &Stub| {
        let profile =
            ProfileSettings { mcp_servers: vec![stub.server(json!({}))], ..ProfileSettings::default() };
        Arc::new(Toolbox::new(&profile).for_call())
    };
    let toolboxes = vec![toolbox(&first), toolbox(&second)];
    let bench = Bench::of(Stub::sound().await.server(json!({}))).await;
    let listed = Toolbox::list_all(toolboxes.clone(), bench.services.clone(), bench.tenant);
    let problems: Vec<Vec<McpProblem>> = listed.collect().await;
    assert_eq!(problems, [vec![], vec![]]);
    assert!(toolboxes.iter().all(|toolbox| toolbox.specs().len() == 1));
}
