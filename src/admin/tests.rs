//! Requests over the loopback network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use chrono::DateTime;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use metrics::{Key, Level, Metadata, Recorder};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::api::{ApiState, LastUse, LimitSettings, Limits};
use super::*;
use crate::config::Config;
use crate::current::Current;
use crate::daemon::AgentFactory;
use crate::store::Store;
use crate::telephony::{Adapters, Registrar};
use crate::tenancy::{Call, CallId, LiveCommand, LiveEvent, LiveRefusal, TenantId};

/// Answers with these parts, or never; and counts how often it is asked.
#[derive(Default)]
struct Told {
    parts: Option<Vec<Part>>,
    configuration: Configuration,
    asked: AtomicUsize,
}

impl Told {
    fn new(parts: Vec<Part>) -> Arc<Told> {
        Arc::new(Told { parts: Some(parts), ..Told::default() })
    }
}

impl Health for Told {
    fn check(&self) -> BoxFuture<'_, Vec<Part>> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            match &self.parts {
                Some(parts) => parts.clone(),
                None => std::future::pending().await,
            }
        })
    }

    fn report(&self, probe: Option<Uuid>) -> BoxFuture<'_, DaemonReport> {
        Box::pin(async move {
            let database = DatabaseReport {
                location: "here".into(),
                problem: None,
                has_probe: probe.map(|probe| probe.is_nil()),
            };
            DaemonReport {
                version: "1".into(),
                pid: 7,
                started_at: DateTime::UNIX_EPOCH,
                now: DateTime::UNIX_EPOCH,
                application: "vca".into(),
                ready: false,
                parts: Vec::new(),
                engines: Vec::new(),
                calls: CallLoad { live: 0, max: 1 },
                files: None,
                database,
                records: RecordReport { pending: 0, dropped: 0 },
                log: Vec::new(),
                reload: None,
            }
        })
    }

    fn measure(&self) -> BucketCounts {
        BucketCounts::default()
    }

    fn configuration(&self) -> Configuration {
        self.configuration.clone()
    }
}

fn part(ok: bool, needed: bool) -> Part {
    Part { name: "ari", ok, needed, problem: (!ok).then(|| "away".to_owned()) }
}

/// An API whose database is empty.
async fn api_state() -> ApiState {
    let settings = crate::store::Settings {
        url: SecretString::from("sqlite::memory:"),
        ..crate::store::Settings::default()
    };
    let store = Store::open(&settings).await.unwrap();
    let asterisk = Arc::new(crate::ari::Client::new(&crate::ari::Settings::default()).unwrap());
    let telephony = crate::telephony::Settings::default();
    let adapters = Arc::new(Adapters::new(&telephony, asterisk, "vca", false));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let tools = crate::tools::ToolServices::new(&crate::tools::Settings::default(), store.clone()).unwrap();
    ApiState {
        tools: Arc::new(tools),
        registrar: Arc::new(Registrar::new(store.clone(), adapters)),
        inbound: None,
        numbering: Default::default(),
        permitted: Default::default(),
        analysis_trials: Arc::new(crate::analysis::AnalysisTrials::new(
            &Default::default(),
            std::time::Duration::from_secs(10),
            Arc::new(|_, _| None),
        )),
        tenant_engines: Arc::new(Current::new(AgentFactory::new(&Config::default()).unwrap())),
        transfer: Default::default(),
        last_use: Arc::new(LastUse::start(store.clone())),
        store,
        limits: Arc::new(Limits::new(&LimitSettings::default())),
        billing: Default::default(),
        live: Arc::new(Quiet),
        state: Arc::new(crate::state::Memory::new(&crate::state::Settings::default())),
        receivers: crate::webhooks::Settings::default().destinations(),
        pre_call: Arc::new(
            crate::webhooks::PreCallClient::new(&crate::webhooks::Settings::default()).unwrap(),
        ),
    }
}

/// Nobody calls.
struct Quiet;

impl LiveCalls for Quiet {
    fn calls(&self, _: Option<TenantId>) -> Vec<Call> {
        Vec::new()
    }

    fn muted(&self, _: Option<TenantId>) -> Vec<CallId> {
        Vec::new()
    }

    fn command(&self, _: TenantId, _: CallId, _: LiveCommand) -> BoxFuture<'_, Result<(), LiveRefusal>> {
        Box::pin(std::future::ready(Err(LiveRefusal::NotLive)))
    }

    fn events(&self, _: TenantId, _: CallId, _: u64) -> Result<BoxStream<'static, LiveEvent>, WatchError> {
        Err(WatchError::NotLive)
    }

    fn audio(&self, _: TenantId, _: CallId) -> Result<BoxStream<'static, Bytes>, WatchError> {
        Err(WatchError::NotLive)
    }
}

/// Asks for each path in turn: the statuses and bodies.
async fn answers(health: Arc<Told>, paths: &[&str]) -> Vec<(u16, String)> {
    let recorder = builder().unwrap().build_recorder();
    let histogram = recorder
        .register_histogram(&Key::from_name("vca_turn_seconds"), &Metadata::new("vca", Level::INFO, None));
    histogram.record(0.3);
    let settings = Settings { bind: SocketAddr::from(([127, 0, 0, 1], 0)), ..Settings::default() };
    let server = Server::bind(&settings, health, recorder.handle(), api_state().await).unwrap();
    let (base, stop) = (format!("http://{}", server.address()), CancellationToken::new());
    let serving = tokio::spawn(server.serve(stop.clone()));
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut answers = Vec::new();
    for path in paths {
        let answer = client.get(format!("{base}{path}")).send().await.unwrap();
        answers.push((answer.status().as_u16(), answer.text().await.unwrap()));
    }
    stop.cancel();
    serving.await.unwrap();
    answers
}

#[tokio::test]
async fn it_is_alive_whatever_is_away() {
    let health = Told::new(vec![part(false, true)]);
    let answers = answers(health, &["/healthz", "/", "/nothing"]).await;
    assert_eq!(answers[0].0, 200);
    let health: serde_json::Value = serde_json::from_str(&answers[0].1).unwrap();
    assert_eq!((&health["status"], &health["configuration"]["status"]), (&"ok".into(), &"valid".into()));
    assert_eq!(answers[1].1, format!(r#"{{"name":"vca","version":"{}"}}"#, env!("CARGO_PKG_VERSION")));
    assert_eq!(answers[2].0, 404);
}

#[tokio::test]
async fn it_is_ready_when_all_that_is_needed_is_there() {
    let health = Told::new(vec![part(true, true), part(false, false)]);
    let degraded = answers(health, &["/readyz"]).await.remove(0);
    assert!(degraded.0 == 200 && degraded.1.contains(r#"{"degraded":true,"#), "{degraded:?}");
    let away = answers(Told::new(vec![part(false, true)]), &["/readyz"]).await;
    let expected = r#"{"degraded":false,"parts":[{"name":"ari","needed":true,"ok":false,"problem":"away"}],"ready":false}"#;
    assert_eq!(away[0], (503, expected.to_owned()));
}

#[tokio::test]
async fn a_report_has_the_parts_and_the_row_that_was_asked_for() {
    let paths = ["/status", &format!("/status?probe={}", Uuid::nil()), "/status?probe=x"];
    let answers = answers(Told::new(vec![part(true, true), part(false, false)]), &paths).await;
    let report: DaemonReport = serde_json::from_str(&answers[0].1).unwrap();
    assert!(report.ready && report.parts.len() == 2, "{report:#?}");
    assert_eq!(report.parts[1].problem.as_deref(), Some("away"));
    assert_eq!(report.database.has_probe, None);
    let report: DaemonReport = serde_json::from_str(&answers[1].1).unwrap();
    assert_eq!(report.database.has_probe, Some(true));
    assert_eq!(answers[2].0, 400);
}

#[tokio::test]
async fn many_who_ask_make_no_work() {
    let health = Told::new(vec![part(true, true)]);
    answers(health.clone(), &["/readyz"; 5]).await;
    // The five requests may, on a very slow machine, take longer than an answer stays fresh.
    assert!(health.asked.load(Ordering::Relaxed) < 5);
}

#[tokio::test]
async fn checks_that_do_not_end_are_not_waited_for() {
    let (status, body) = answers(Arc::default(), &["/readyz"]).await.remove(0);
    assert_eq!((status, &*body), (503, r#"{"problem":"the checks did not end in time","ready":false}"#));
}

#[tokio::test]
async fn times_are_counted_in_buckets() {
    let (status, body) = answers(Told::new(vec![]), &["/metrics"]).await.remove(0);
    assert_eq!(status, 200);
    assert!(body.contains(r#"vca_turn_seconds_bucket{le="0.2"} 0"#), "{body}");
    assert!(body.contains(r#"vca_turn_seconds_bucket{le="0.3"} 1"#), "{body}");
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let bind = taken.local_addr().unwrap();
    let text = refusal(Settings { bind, ..Settings::default() }).await;
    assert!(text.contains(&bind.to_string()) && text.contains("admin.bind"), "{text}");
}

#[tokio::test]
async fn keys_do_not_cross_the_network_in_the_clear() {
    let bind = SocketAddr::from(([0, 0, 0, 0], 0));
    let text = refusal(Settings { bind, ..Settings::default() }).await;
    assert!(text.contains("admin.tls") && text.contains("admin.allow_plaintext_remote"), "{text}");
    let handle = builder().unwrap().build_recorder().handle();
    let allowed = Settings { bind, allow_plaintext_remote: true, ..Settings::default() };
    assert!(Server::bind(&allowed, Told::new(vec![]), handle, api_state().await).is_ok());
}

#[tokio::test]
async fn a_certificate_without_its_key_is_refused() {
    let certificate = Some("/no/such/certificate.pem".into());
    let tls = TlsSettings { certificate, key: None, client_ca: None };
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let text = refusal(Settings { bind, tls, ..Settings::default() }).await;
    assert!(text.contains("admin.tls.key"), "{text}");
}

/// The files are read, at once and every second, while the port is served: missing ones do not keep the daemon from serving
/// calls.
#[tokio::test]
async fn a_missing_certificate_does_not_keep_the_port_from_opening() {
    let file = |name: &str| Some(format!("/no/such/{name}.pem").into());
    let tls = TlsSettings { certificate: file("certificate"), key: file("key"), client_ca: None };
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = Settings { bind, tls, ..Settings::default() };
    let handle = builder().unwrap().build_recorder().handle();
    Server::bind(&settings, Told::new(vec![]), handle, api_state().await).expect("an open port");
}

async fn refusal(settings: Settings) -> String {
    let handle = builder().unwrap().build_recorder().handle();
    match Server::bind(&settings, Told::new(vec![]), handle, api_state().await) {
        Ok(_) => panic!("it should not open"),
        Err(error) => format!("{error:#}"),
    }
}
