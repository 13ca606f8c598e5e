//! The port before strangers: slow, greedy, many, or without a key.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::DateTime;
use futures_util::future::BoxFuture;
use metrics_exporter_prometheus::PrometheusBuilder;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use vca::admin::api::{ApiState, Limits};
use vca::admin::{
    BucketCounts, CallLoad, Configuration, DaemonReport, DatabaseReport, Health, MetricsAccess, Part,
    RecordReport, Server, Settings,
};
use vca::store::{NewKey, NewTenant, Store};
use vca::tenancy::{Actor, Plan, Role};

/// The whole port, as the daemon opens it, on a database of its own.
pub struct Port {
    pub address: SocketAddr,
    pub store: Store,
    /// An operator's key.
    pub operator: String,
    folder: PathBuf,
    stop: CancellationToken,
}

#[derive(Default)]
struct Well(Configuration);

impl Health for Well {
    fn check(&self) -> BoxFuture<'_, Vec<Part>> {
        Box::pin(async { vec![Part { name: "all", ok: true, needed: true, problem: None }] })
    }

    fn report(&self, _: Option<Uuid>) -> BoxFuture<'_, DaemonReport> {
        let database = DatabaseReport { location: "here".into(), problem: None, has_probe: None };
        let report = DaemonReport {
            version: "1".into(),
            pid: 1,
            started_at: DateTime::UNIX_EPOCH,
            now: DateTime::UNIX_EPOCH,
            application: "vca".into(),
            ready: true,
            parts: Vec::new(),
            engines: Vec::new(),
            calls: CallLoad { live: 0, max: 1 },
            files: None,
            database,
            records: RecordReport { pending: 0, dropped: 0 },
            log: Vec::new(),
            reload: None,
        };
        Box::pin(async { report })
    }

    fn measure(&self) -> BucketCounts {
        BucketCounts::default()
    }

    fn configuration(&self) -> Configuration {
        self.0.clone()
    }
}

impl Port {
    pub async fn open(change: impl FnOnce(&mut Settings)) -> Port {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let folder = std::env::temp_dir().join(format!("vca-port-{}", Uuid::now_v7()));
        let url = format!("sqlite:{}", folder.join("vca.db").display());
        let settings = vca::store::Settings { url: SecretString::from(url), ..Default::default() };
        let store = Store::open(&settings).await.expect("the database opens");
        store.migrate().await.expect("the database can be migrated");
        let new = NewKey { name: "root".into(), role: Role::Operator, expires_at: None };
        let minted = store.create_operator_key(&Actor::system(), new).await.expect("a key");

        let mut settings = Settings { bind: ([127, 0, 0, 1], 0).into(), ..Settings::default() };
        change(&mut settings);
        let api = ApiState {
            limits: Arc::new(Limits::new(&settings.limits)),
            ..super::api_server::plain_api_state(&store)
        };
        let metrics = PrometheusBuilder::new().build_recorder().handle();
        let server = Server::bind(&settings, Arc::new(Well::default()), metrics, api).expect("a port");
        let (address, stop) = (server.address(), CancellationToken::new());
        tokio::spawn(server.serve(stop.clone()));
        Port { address, store, operator: minted.secret.expose_secret().to_owned(), folder, stop }
    }

    pub async fn get(&self, path: &str, key: Option<&str>) -> reqwest::Response {
        let mut request = reqwest::Client::new().get(format!("http://{}{path}", self.address));
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        request.send().await.expect("an answer")
    }

    /// A connection on which `bytes` were sent.
    pub async fn connect(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.expect("a connection");
        stream.write_all(bytes).await.expect("it is taken");
        stream
    }
}

impl Drop for Port {
    fn drop(&mut self) {
        self.stop.cancel();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// All that comes until the other end closes, which it has to do within five seconds.
async fn until_closed(mut stream: TcpStream) -> String {
    let mut all = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut all)).await;
    // A connection that was reset is as closed as one that was ended.
    drop(read.expect("it should have been closed"));
    String::from_utf8_lossy(&all).into_owned()
}

const TIMEOUT: Duration = Duration::from_millis(300);

fn impatient(settings: &mut Settings) {
    settings.header_timeout_ms = TIMEOUT.as_millis() as u64;
    settings.body_timeout_ms = TIMEOUT.as_millis() as u64;
}

#[tokio::test]
async fn slow_headers_and_idle_connections_are_cut() {
    let port = Port::open(impatient).await;
    let whole = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";
    for (what, bytes) in [("nothing", &b""[..]), ("half a head", &whole[..20]), ("idle", whole)] {
        let began = Instant::now();
        let stream = port.connect(bytes).await;
        let answer = until_closed(stream).await;
        assert!(began.elapsed() >= TIMEOUT, "{what}: cut too early");
        assert_eq!(answer.starts_with("HTTP/1.1 200"), what == "idle", "{what}: {answer}");
    }
    // A head that comes drop by drop does not keep the connection.
    let mut stream = port.connect(b"GET / HTTP/1.1\r\n").await;
    let dripping = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            if stream.write_all(b"X-A: b\r\n").await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(5), dripping).await.expect("it should have been cut");
}

#[tokio::test]
async fn slow_bodies_are_cut() {
    let port = Port::open(impatient).await;
    let head = format!(
        "POST /api/tenants HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\nContent-Length: 100\r\n\r\n{{",
        port.operator
    );
    let answer = until_closed(port.connect(head.as_bytes()).await).await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"), "{answer}");
}

#[tokio::test]
async fn large_bodies_are_refused() {
    let port = Port::open(|_| {}).await;
    let url = format!("http://{}/api/tenants", port.address);
    let large = "x".repeat(300 * 1024);
    let chunks = large.as_bytes().chunks(8 * 1024).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()));
    let chunks = futures_util::stream::iter(chunks.collect::<Vec<_>>());
    for body in [reqwest::Body::from(large), reqwest::Body::wrap_stream(chunks)] {
        let sent = reqwest::Client::new().post(&url).bearer_auth(&port.operator).body(body).send().await;
        let answer = sent.expect("an answer");
        assert_eq!(answer.status(), 413);
        assert_eq!(answer.json::<Value>().await.expect("a problem")["code"], "body_too_large");
    }
    // Nothing of a request without a key is read at all.
    let answer = reqwest::Client::new().post(&url).body("x".repeat(300 * 1024)).send().await;
    assert!(answer.is_err() || answer.is_ok_and(|answer| answer.status() == 401));
}

#[tokio::test]
async fn there_are_so_many_connections_and_no_more() {
    let port = Port::open(|settings| settings.max_connections = 3).await;
    let mut held = Vec::new();
    for _ in 0..3 {
        let mut stream = port.connect(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").await;
        let mut first = [0; 12];
        stream.read_exact(&mut first).await.expect("an answer");
        assert_eq!(&first, b"HTTP/1.1 200");
        held.push(stream);
    }
    assert_eq!(until_closed(TcpStream::connect(port.address).await.expect("the kernel takes it")).await, "");
    held.pop();
    let freed = async {
        while reqwest::get(format!("http://{}/healthz", port.address)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), freed).await.expect("the place is free again");
}

#[tokio::test]
async fn many_connections_at_once_are_all_served() {
    let port = Port::open(|settings| settings.max_connections_per_address = 512).await;
    let asked = (0..200).map(|_| async { port.get("/api/whoami", Some(&port.operator)).await.status() });
    let statuses = futures_util::future::join_all(asked).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
}

#[tokio::test]
async fn who_asks_too_often_has_to_wait() {
    let port = Port::open(|settings| settings.limits.per_key = 3.try_into().expect("some")).await;
    for _ in 0..3 {
        assert_eq!(port.get("/api/whoami", Some(&port.operator)).await.status(), 200);
    }
    let answer = port.get("/api/whoami", Some(&port.operator)).await;
    assert_eq!(answer.status(), 429);
    let wait: u64 = answer.headers()["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=21).contains(&wait), "{wait}");
    assert_eq!(answer.json::<Value>().await.expect("a problem")["code"], "too_many_requests");

    let port = Port::open(|settings| settings.limits.per_address = 3.try_into().expect("some")).await;
    for _ in 0..3 {
        assert_eq!(port.get("/api/whoami", None).await.status(), 401, "who has no key is counted, too");
    }
    assert_eq!(port.get("/api/whoami", None).await.status(), 429);
    assert_eq!(port.get("/healthz", None).await.status(), 200, "what a supervisor asks is not counted");
}

/// They may come as often as they like, so that nothing but a number may grow.
#[tokio::test]
async fn strangers_who_tell_of_calls_are_counted() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counts = recorder.handle();
    // On this thread, on which all of the test runs.
    let _recording = metrics::set_default_local_recorder(&recorder);
    let mut settings = vca::telephony::Settings { fake: true, ..Default::default() };
    settings.inbound.secret = Some("a-shared-secret-of-the-dialplan".into());
    settings.inbound.allowed_addresses = vec!["10.0.0.0/8".parse().expect("a network")];
    super::api_server::on_sqlite(|api| async move {
        let api = api.with_telephony(&settings, "http://127.0.0.1:9").await;
        for _ in 0..3 {
            let answer = api.nobody().post("/internal/telephony/inbound", json!({})).await;
            assert_eq!(answer.problem(403), "address_not_allowed");
        }
        let counts = counts.render();
        assert!(counts.contains("vca_inbound_addresses_refused_total 3"), "{counts}");
    })
    .await;
}

#[tokio::test]
async fn metrics_may_need_an_operator() {
    let port = Port::open(|_| {}).await;
    assert_eq!(port.get("/metrics", None).await.status(), 200, "on this machine alone");
    let port = Port::open(|settings| settings.metrics = Some(MetricsAccess::Operator)).await;
    let new = NewTenant { name: "Bakery".into(), plan: Plan::Starter, max_concurrent_calls: None };
    let tenant = port.store.create_tenant(&Actor::system(), new).await.expect("a tenant");
    let new = NewKey { name: "x".into(), role: Role::TenantAdmin, expires_at: None };
    let minted = port.store.scope(tenant.id).create_key(&Actor::system(), new).await.expect("a key");
    let keys = [(None, 401), (Some(minted.secret.expose_secret()), 403), (Some(&*port.operator), 200)];
    for (key, expected) in keys {
        assert_eq!(port.get("/metrics", key).await.status(), expected);
    }
    for open in ["/", "/healthz", "/readyz", "/docs/", "/openapi.json"] {
        assert_eq!(port.get(open, None).await.status(), 200, "{open}");
    }
}

/// From this machine it needs no key; behind a proxy, or from elsewhere, an operator's.
#[tokio::test]
async fn the_report_of_the_daemon_is_the_operators() {
    let port = Port::open(|_| {}).await;
    assert_eq!(port.get("/status", None).await.status(), 200);
    let new = NewTenant { name: "Bakery".into(), plan: Plan::Starter, max_concurrent_calls: None };
    let tenant = port.store.create_tenant(&Actor::system(), new).await.expect("a tenant");
    let scope = port.store.scope(tenant.id);
    for role in [Role::TenantAdmin, Role::TenantViewer] {
        let new = NewKey { name: "x".into(), role, expires_at: None };
        let minted = scope.create_key(&Actor::system(), new).await.expect("a key");
        let keys = [(None, 401), (Some(minted.secret.expose_secret()), 403), (Some(&*port.operator), 200)];
        for (key, expected) in keys {
            let request = reqwest::Client::new().get(format!("http://{}/status", port.address));
            let request = request.header("x-forwarded-for", "203.0.113.9");
            let request = key.iter().fold(request, |request, key| request.bearer_auth(key));
            let response = request.send().await.expect("a response");
            assert_eq!(response.status(), expected, "{role:?}");
        }
    }
}

#[tokio::test]
async fn browsers_are_told_to_be_careful() {
    let port = Port::open(|_| {}).await;
    for path in ["/", "/api/whoami", "/nowhere", "/docs/"] {
        let answer = port.get(path, None).await;
        let header = |name: &str| answer.headers().get(name).map_or("", |value| value.to_str().unwrap_or(""));
        assert_eq!(header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(header("x-frame-options"), "DENY", "{path}");
        assert!(header("content-security-policy").starts_with("default-src 'none'"), "{path}");
        assert!(header("cache-control").starts_with("no-"), "{path}");
        assert_eq!(header("strict-transport-security"), "", "{path}: there is no TLS");
    }
}

#[tokio::test]
async fn a_revoked_key_stops_at_once_on_an_open_connection() {
    let port = Port::open(|_| {}).await;
    let client = reqwest::Client::new();
    let made: Value = client
        .post(format!("http://{}/api/keys", port.address))
        .bearer_auth(&port.operator)
        .body(json!({ "name": "second" }).to_string())
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("a key");
    let secret = made["secret"].as_str().expect("a secret");
    let ask = async || {
        let request = client.get(format!("http://{}/api/whoami", port.address)).bearer_auth(secret);
        request.send().await.expect("an answer").status()
    };
    assert_eq!(ask().await, 200);
    let id = made["id"].as_str().expect("an id").parse().expect("an id");
    port.store.revoke_key(&Actor::system(), id).await.expect("a key");
    assert_eq!(ask().await, 401);
}
