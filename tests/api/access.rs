//! Traces of access: the access log, failed authentications, and reads in the audit log.

use std::sync::{Arc, Mutex};

use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::{Value, json};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use vca::admin::LiveCalls;
use vca::admin::api::LimitSettings;
use vca::store::{AuditFilter, NewKey, NewTenant, Window};
use vca::tenancy::{Actor, Plan, Role};

use super::api_server::ApiServer;
use super::calls::Line;
use super::on_both;
use super::port::Port;

on_both!(reads_of_words_are_audited, a_hang_up_is_audited_before_it_is_done);

/// The log of this thread, on which all of a test with one thread runs.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Log;

    fn make_writer(&'a self) -> Log {
        self.clone()
    }
}

impl Log {
    fn start(filter: &str) -> (Log, DefaultGuard) {
        let log = Log::default();
        let lines = tracing_subscriber::fmt().json().flatten_event(true).with_span_list(false);
        let subscriber =
            lines.with_current_span(false).with_env_filter(EnvFilter::new(filter)).with_writer(log.clone());
        (log, tracing::subscriber::set_default(subscriber.finish()))
    }

    fn lines(&self, target: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().expect("no panic").clone()).expect("text");
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        lines.filter(|line| line["target"] == target).collect()
    }

    /// The lines, once there are so many.
    async fn until(&self, target: &str, count: usize) -> Vec<Value> {
        let there = async {
            while self.lines(target).len() < count {
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(5), there).await.expect("lines");
        self.lines(target)
    }
}

const ACCESS: &str = "vca::access";

#[tokio::test]
async fn each_request_has_a_line() {
    let (log, _logging) = Log::start("info");
    let port = Port::open(|_| {}).await;
    let new = NewTenant { name: "Bakery".into(), plan: Plan::Starter, max_concurrent_calls: None };
    let tenant = port.store.create_tenant(&Actor::system(), new).await.expect("a tenant");
    let new = NewKey { name: "x".into(), role: Role::TenantViewer, expires_at: None };
    let minted = port.store.scope(tenant.id).create_key(&Actor::system(), new).await.expect("a key");
    let key = secrecy::ExposeSecret::expose_secret(&minted.secret);

    let path = format!("/api/tenants/{}/calls?caller_number=%2B4915112345678", tenant.id);
    let answer = port.get(&path, Some(key)).await;
    let request_id = answer.headers()["x-request-id"].to_str().expect("text").to_owned();
    let length = answer.bytes().await.expect("a body").len();
    port.get(&path, None).await.bytes().await.expect("a body");
    port.get("/no/such/+4915112345678", Some("vca_nonsense")).await.bytes().await.expect("a body");
    port.get("/docs/swagger-ui.css", None).await.bytes().await.expect("a body");
    port.get("/healthz", None).await.bytes().await.expect("a body");
    let lines = log.until(ACCESS, 4).await;
    let fields =
        |line: &Value, names: &[&str]| -> Vec<Value> { names.iter().map(|it| line[*it].clone()).collect() };

    let names = ["level", "method", "route", "status", "client", "bytes", "is_complete", "request_id"];
    let route = "/api/tenants/{tenant_id}/calls";
    let expected = json!(["INFO", "GET", route, 200, "127.0.0.1", length, true, request_id]);
    assert_eq!(json!(fields(&lines[0], &names)), expected);
    let who = json!([minted.key.id, "tenant_viewer", tenant.id]);
    assert_eq!(json!(fields(&lines[0], &["key", "role", "tenant"])), who);
    assert!(lines[0]["ms"].is_u64());
    assert_eq!(
        json!(fields(&lines[1], &["route", "status", "key", "tenant"])),
        json!([route, 401, null, null])
    );
    assert_eq!(json!(fields(&lines[2], &["route", "status"])), json!(["unmatched", 404]));
    assert_eq!(json!(fields(&lines[3], &["route", "status"])), json!(["/docs/{*rest}", 200]));
    assert_eq!(lines.len(), 4, "a probe that succeeds is logged at debug");
    let all = String::from_utf8(log.0.lock().expect("no panic").clone()).expect("text");
    assert!(!all.contains("caller_number") && !all.contains(key), "{all}");
}

#[tokio::test]
async fn failed_authentications_are_counted_and_logged() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counts = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let (log, _logging) = Log::start("info");
    let port = Port::open(|_| {}).await;
    let new = NewKey { name: "old".into(), role: Role::Operator, expires_at: None };
    let revoked = port.store.create_operator_key(&Actor::system(), new).await.expect("a key");
    port.store.revoke_key(&Actor::system(), revoked.key.id).await.expect("it is revoked");
    let new =
        NewKey { name: "late".into(), role: Role::Operator, expires_at: Some(chrono::DateTime::UNIX_EPOCH) };
    let expired = port.store.create_operator_key(&Actor::system(), new).await.expect("a key");
    let secret =
        |minted: &vca::store::KeyWithSecret| secrecy::ExposeSecret::expose_secret(&minted.secret).to_owned();
    let (revoked, expired) = (secret(&revoked), secret(&expired));
    for key in [None, Some("vca_nonsense"), Some(&*revoked), Some(&*expired)] {
        assert_eq!(port.get("/api/whoami", key).await.status(), 401);
    }
    let counts = counts.render();
    for reason in ["missing_key", "unknown_key", "revoked_key", "expired_key"] {
        let line = format!("vca_admin_auth_failures_total{{reason=\"{reason}\"}} 1");
        assert!(counts.contains(&line), "{line}: {counts}");
        let lines = log.lines("vca::admin::api::auth");
        let is_it = |line: &&Value| {
            line["reason"] == reason && line["client"] == "127.0.0.1" && line["level"] == "WARN"
        };
        assert_eq!(lines.iter().filter(is_it).count(), 1, "{reason}: {lines:#?}");
    }
    for _ in 0..20 {
        port.get("/api/whoami", Some("vca_nonsense")).await;
    }
    assert_eq!(log.lines("vca::admin::api::auth").len(), 5, "five a minute of one address");
}

/// They count with their address first, and reach neither the queue of look-ups nor the database.
#[tokio::test]
async fn keys_beyond_the_limit_of_their_address_are_not_looked_up() {
    let recorder = PrometheusBuilder::new().build_recorder();
    let counts = recorder.handle();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let port = Port::open(|settings| settings.limits.per_address = 4.try_into().expect("some")).await;
    assert_eq!(port.get("/api/whoami", Some(&port.operator)).await.status(), 200);
    for n in 0..10 {
        let invented = format!("vca_12345678_{n:043}");
        let expected = if n < 3 { 401 } else { 429 };
        assert_eq!(port.get("/api/whoami", Some(&invented)).await.status(), expected, "{n}");
    }
    let counts = counts.render();
    for (reason, count) in [("unknown_key", 3), ("address_limit", 7)] {
        let line = format!("vca_admin_auth_failures_total{{reason=\"{reason}\"}} {count}");
        assert!(counts.contains(&line), "{line}: {counts}");
    }
    assert_eq!(
        port.get("/api/whoami", Some(&port.operator)).await.status(),
        200,
        "a known key is not counted"
    );
}

#[tokio::test]
async fn a_key_beyond_its_limit_is_refused_without_the_database_and_after_a_delay() {
    super::api_server::on_sqlite(|api| async move {
        let limits = LimitSettings { per_key: 3.try_into().expect("some"), ..LimitSettings::default() };
        let api = api.with_limits(&limits).await;
        let other = api.operator.with_key(&format!("vca_12345678_{:043}", 7));
        for _ in 0..3 {
            assert_eq!(api.operator.get("/api/whoami").await.status, 200);
        }
        api.store.close().await;
        assert_eq!(other.get("/api/whoami").await.status, 503, "an unknown key is looked up");
        let began = std::time::Instant::now();
        assert_eq!(api.operator.get("/api/whoami").await.status, 429);
        assert!(began.elapsed() >= std::time::Duration::from_millis(250));
    })
    .await;
}

#[tokio::test]
async fn refused_announcements_are_logged_now_and_then() {
    let (log, _logging) = Log::start("info");
    let mut settings = vca::telephony::Settings { fake: true, ..Default::default() };
    settings.inbound.secret = Some("a-shared-secret-of-the-dialplan".into());
    let folder = std::env::temp_dir().join(format!("vca-access-{}", uuid::Uuid::now_v7()));
    let api = ApiServer::open(format!("sqlite:{}", folder.join("vca.db").display())).await;
    let api = api.with_telephony(&settings, "http://127.0.0.1:9").await;
    let through = async || {
        let url = format!("http://{}/internal/telephony/inbound", api.address);
        let request = reqwest::Client::new().post(url).header("x-forwarded-for", "127.0.0.1").body("{}");
        request.send().await.expect("a response").status().as_u16()
    };
    for _ in 0..20 {
        assert_eq!(through().await, 403);
    }
    let lines = log.lines("vca::admin::api::inbound");
    assert_eq!(lines.len(), 5);
    let text = lines[0]["message"].as_str().expect("a message");
    assert!(text.contains("admin.trusted_proxies") && lines[0]["level"] == "WARN", "{:#}", lines[0]);
    std::fs::remove_dir_all(folder).expect("it is there");
}

/// The newest entries of the audit log about a call.
async fn entries(line: &Line, call: vca::tenancy::CallId) -> Vec<(String, String)> {
    let filter = AuditFilter { resource_id: Some(call.to_string()), ..AuditFilter::default() };
    let page = line.scope.audit(&filter, Window::first(10)).await.expect("the audit log");
    page.items.into_iter().map(|entry| (entry.action, entry.actor)).collect()
}

async fn reads_of_words_are_audited(api: ApiServer) {
    let (tenant, _) = api.tenant("Bakery").await;
    let viewer = api.client_of(tenant, Role::TenantViewer).await;
    let line = Line::of(&api, tenant).await;
    let call = line.record(json!({})).await;
    let path = format!("/api/tenants/{tenant}/calls/{}", call.id);
    viewer.get(&path).await.expect(200);
    assert_eq!(entries(&line, call.id).await, [], "the record holds no words");
    viewer.get(&format!("{path}/transcript")).await.expect(200);
    api.lines.ring(&call);
    drop(viewer.open(&format!("{path}/events"), &[]).await);
    let found = entries(&line, call.id).await;
    let actions: Vec<&str> = found.iter().map(|(action, _)| action.as_str()).collect();
    assert_eq!(actions, ["watch", "read_transcript"], "an entry for each request");
    assert!(found.iter().all(|(_, actor)| actor.starts_with("key tenant_viewer (vca_")), "{found:?}");
}

async fn a_hang_up_is_audited_before_it_is_done(api: ApiServer) {
    let (tenant, admin) = api.tenant("Bakery").await;
    let line = Line::of(&api, tenant).await;
    let call = line.record(json!({})).await;
    let path = format!("/api/tenants/{tenant}/calls/{}/hang-up", call.id);
    assert_eq!(admin.post(&path, json!({})).await.problem(409), "call_not_live");
    assert_eq!(entries(&line, call.id).await, [], "nothing was done");
    api.lines.ring(&call);
    // Without its entry there is no act.
    api.raw("ALTER TABLE audit_log RENAME TO audit_gone".to_owned()).await;
    assert!(admin.post(&path, json!({})).await.status.is_server_error());
    assert_eq!(api.lines.calls(None).len(), 1, "the call goes on");
}
