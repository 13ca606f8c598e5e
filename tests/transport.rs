//! TLS to real servers with authorities of the test's own: the right one is trusted, others are not, and a certificate
//! is good for its name alone.
//!
//! Each server's certificate is for `localhost`; as `127.0.0.1` the same server has the wrong name.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use vca::ari::{self, AriError, Signal, SignalKind};
use vca::state;
use vca::store::{self, Store, StoreError};
use vca::transport::TlsFiles;

use crate::support;
use crate::support::asterisk::{Asterisk, Options};
use crate::support::authority::Authority;
use crate::support::postgres::Postgres;
use crate::support::redis::Redis;

const NAME: &str = "localhost";
const WRONG_NAME: &str = "127.0.0.1";
const DEADLINE: Duration = Duration::from_secs(20);

fn trusting(authority: &Authority) -> TlsFiles {
    TlsFiles { ca: Some(authority.ca()), ..TlsFiles::default() }
}

fn showing(authority: &Authority, (certificate, key): (PathBuf, PathBuf)) -> TlsFiles {
    TlsFiles { ca: Some(authority.ca()), certificate: Some(certificate), key: Some(key) }
}

fn ari_settings(asterisk: &Asterisk, host: &str, tls: TlsFiles) -> ari::Settings {
    ari::Settings {
        url: format!("https://{host}:{}", asterisk.https_port()),
        password: SecretString::from(asterisk.ari_password()),
        tls,
        ..ari::Settings::default()
    }
}

async fn info(settings: ari::Settings) -> Result<Value, AriError> {
    ari::Client::new(&settings).expect("usable settings").send(ari::Request::info()).await
}

#[tokio::test]
async fn asterisk_is_trusted_by_its_authority_and_name() {
    let Some(sandbox) = support::sandbox() else { return };
    let (authority, stranger) = (Authority::new(), Authority::new());
    let certificate = Some(authority.issue(NAME));
    let asterisk = Asterisk::start(&sandbox, Options { certificate, ..Options::default() });
    let settings = |host, authority| ari_settings(&asterisk, host, trusting(authority));
    info(settings(NAME, &authority)).await.expect("the right authority and name");
    for (wrong, why) in [
        (settings(NAME, &stranger), "another authority"),
        (settings(WRONG_NAME, &authority), "another name"),
        (ari::Settings { tls: trusting(&stranger), ..settings(WRONG_NAME, &authority) }, "both"),
    ] {
        let refused = info(wrong).await;
        assert!(matches!(refused, Err(AriError::Tls(_))), "{why}: {refused:?}");
    }
    event_web_socket(settings(NAME, &authority), settings(NAME, &stranger)).await;
}

/// The WebSocket opens with the right authority, and is refused by the client with another one.
async fn event_web_socket(right: ari::Settings, wrong: ari::Settings) {
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _counted = metrics::set_default_local_recorder(&recorder);
    let (sender, mut connected) = mpsc::channel(16);
    let sink = move |signal: Signal| {
        if let SignalKind::Connected(_) = signal.kind {
            let _ = sender.try_send(());
        }
    };
    let stop = CancellationToken::new();
    let client = |settings| Arc::new(ari::Client::new(settings).expect("usable settings"));
    let listening = ari::listen(client(&right), right.clone(), sink.clone(), stop.clone());
    tokio::select! {
        () = listening => panic!("it listens until it is stopped"),
        opened = tokio::time::timeout(DEADLINE, connected.recv()) => {
            opened.expect("it opens in time").expect("a signal");
        }
    }
    let refused = async {
        while !metrics.render().contains(r#"vca_ari_disconnects_total{why="tls"}"#) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let listening = ari::listen(client(&wrong), wrong.clone(), sink, stop);
    tokio::select! {
        () = listening => panic!("it listens until it is stopped"),
        refused = tokio::time::timeout(DEADLINE, refused) => refused.expect("it is refused in time"),
    }
    assert!(connected.try_recv().is_err(), "the other authority was trusted");
}

/// Whether Redis answers a client with these files.
async fn answers(redis: &Redis, host: &str, tls: TlsFiles) -> bool {
    let url = SecretString::from(format!("rediss://{host}:{}", redis.port()));
    let settings =
        state::Settings { redis_url: Some(url), timeout_ms: 2_000, tls, ..state::Settings::default() };
    state::connect(&settings).await.expect("usable settings").ping().await.is_ok()
}

#[tokio::test]
async fn redis_is_trusted_by_its_authority_and_name() {
    let Some(sandbox) = support::sandbox() else { return };
    let (authority, stranger) = (Authority::new(), Authority::new());
    let redis = Redis::start_tls(&sandbox, &authority.issue(NAME), None);
    assert!(answers(&redis, NAME, trusting(&authority)).await);
    assert!(!answers(&redis, NAME, trusting(&stranger)).await, "another authority");
    assert!(!answers(&redis, WRONG_NAME, trusting(&authority)).await, "another name");
}

#[tokio::test]
async fn redis_is_shown_a_certificate() {
    let Some(sandbox) = support::sandbox() else { return };
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let redis = Redis::start_tls(&sandbox, &authority.issue(NAME), Some(&clients.pem));
    assert!(answers(&redis, NAME, showing(&authority, clients.install("vca"))).await);
    assert!(!answers(&redis, NAME, trusting(&authority)).await, "no certificate");
    assert!(
        !answers(&redis, NAME, showing(&authority, stranger.install("vca"))).await,
        "another authority's"
    );
}

/// The failure to open a database; `None` when it opens.
async fn failure(url: String, tls: TlsFiles) -> Option<String> {
    let settings = store::Settings { url: SecretString::from(url), tls, ..store::Settings::default() };
    match Store::open(&settings).await {
        Ok(_) => None,
        Err(StoreError::Unavailable { what }) => Some(what),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test]
async fn postgres_is_trusted_by_its_authority_and_name() {
    let Some(sandbox) = support::sandbox() else { return };
    let (authority, clients, stranger) = (Authority::new(), Authority::new(), Authority::new());
    let postgres = Postgres::start(&sandbox, &authority.issue(NAME), &clients.pem);
    let url = |host: &str, rest: &str| format!("postgres://vca@{host}:{}/{rest}", postgres.port);

    assert_eq!(failure(url(NAME, "postgres"), trusting(&authority)).await, None);
    let by_url = format!("postgres?sslmode=verify-full&sslrootcert={}", authority.ca().display());
    assert_eq!(failure(url(NAME, &by_url), TlsFiles::default()).await, None);
    let without_name = format!("postgres?sslmode=require&sslrootcert={}", authority.ca().display());
    assert_eq!(failure(url(WRONG_NAME, &without_name), TlsFiles::default()).await, None);

    for (host, rest, tls, why) in [
        (NAME, "postgres", trusting(&stranger), "another authority"),
        (WRONG_NAME, "postgres", trusting(&authority), "another name"),
        (NAME, "postgres?sslmode=verify-full", TlsFiles::default(), "an authority that nothing names"),
        (NAME, "postgres?sslmode=require", trusting(&stranger), "another authority, whatever the name"),
    ] {
        let problem = failure(url(host, rest), tls).await.expect(why);
        assert!(problem.contains("database.tls.ca"), "{why}: {problem}");
    }
    let plain = failure(url(NAME, "postgres?sslmode=disable"), TlsFiles::default()).await;
    assert!(plain.is_some(), "the server takes TLS alone");

    let identity = showing(&authority, clients.install("vca"));
    assert_eq!(failure(url(NAME, "template1"), identity.clone()).await, None);
    let files = |name: &Option<PathBuf>| name.as_ref().expect("a path").display().to_string();
    let by_url = format!(
        "template1?sslmode=verify-full&sslrootcert={}&sslcert={}&sslkey={}",
        files(&identity.ca),
        files(&identity.certificate),
        files(&identity.key)
    );
    assert_eq!(failure(url(NAME, &by_url), TlsFiles::default()).await, None);
    assert!(failure(url(NAME, "template1"), trusting(&authority)).await.is_some(), "no certificate");
    let strange = showing(&authority, stranger.install("vca"));
    assert!(failure(url(NAME, "template1"), strange).await.is_some(), "another authority's");
}
