//! TLS on the port: certificates of both sides, and a new one without a restart.

use std::fs;
use std::path::Path;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use reqwest::{Certificate, Client, Identity};
use vca::ari::{self, AriError};

use super::port::Port;
use crate::support::authority::{Authority, Issued};

const HOST: &str = "127.0.0.1";

/// A client that trusts this authority alone.
fn client(authority: &Authority, identity: Option<Issued>) -> Client {
    let trusted = Certificate::from_pem(authority.pem.as_bytes()).expect("a certificate");
    let builder = Client::builder().tls_certs_only([trusted]).no_proxy().pool_max_idle_per_host(0);
    let builder = match identity {
        Some(Issued { certificate, key }) => builder
            .identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).expect("an identity")),
        None => builder,
    };
    builder.build().expect("a client")
}

pub async fn port(authority: &Authority, client_ca: Option<&Path>) -> Port {
    let (certificate, key) = authority.install(HOST);
    Port::open(|settings| {
        settings.tls.certificate = Some(certificate);
        settings.tls.key = Some(key);
        settings.tls.client_ca = client_ca.map(Path::to_owned);
    })
    .await
}

async fn ask(client: &Client, port: &Port) -> reqwest::Result<reqwest::Response> {
    client.get(format!("https://{}/healthz", port.address)).send().await
}

#[tokio::test]
async fn the_port_speaks_tls_and_nothing_else() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = Authority::new();
    let port = port(&authority, None).await;
    let answer = ask(&client(&authority, None), &port).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    assert!(ask(&client(&Authority::new(), None), &port).await.is_err(), "another authority is not trusted");
    let plain = Client::new().get(format!("http://{}/healthz", port.address)).send().await;
    assert!(plain.is_err(), "{plain:?}");
}

#[tokio::test]
async fn clients_show_certificates_where_that_is_asked() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let port = port(&authority, Some(&clients.ca())).await;
    let known = client(&authority, Some(clients.issue(HOST)));
    assert_eq!(ask(&known, &port).await.expect("an answer").status(), 200);
    assert!(ask(&client(&authority, None), &port).await.is_err(), "without a certificate");
    let stranger = client(&authority, Some(strangers.issue(HOST)));
    assert!(ask(&stranger, &port).await.is_err(), "another authority's");
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_and_a_broken_one_is_not() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let recorder = PrometheusBuilder::new().build_recorder();
    let metrics = recorder.handle();
    let _counted = metrics::set_default_local_recorder(&recorder);
    let (old, new) = (Authority::new(), Authority::new());
    let port = port(&old, None).await;
    ask(&client(&old, None), &port).await.expect("an answer");
    fs::write(old.folder.join("certificate.pem"), "-----BEGIN NONSENSE-----").expect("a file");
    let refused = async {
        while !metrics.render().contains("vca_tls_reloads_total{outcome=\"refused\"}") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.expect("it was looked at");
    ask(&client(&old, None), &port).await.expect("the old one is still in use");
    new.install(HOST);
    for name in ["key.pem", "certificate.pem"] {
        fs::copy(new.folder.join(name), old.folder.join(name)).expect("a file");
    }
    let taken_up = async {
        while ask(&client(&new, None), &port).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), taken_up).await.expect("the new one");
}

#[tokio::test]
async fn a_certificate_that_arrives_late_opens_the_port() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let authority = Authority::new();
    let (certificate, key) = authority.install(HOST);
    let hidden = certificate.with_extension("hidden");
    fs::rename(&certificate, &hidden).expect("a file");
    let port = Port::open(|settings| {
        settings.tls.certificate = Some(certificate.clone());
        settings.tls.key = Some(key);
    })
    .await;
    assert!(ask(&client(&authority, None), &port).await.is_err(), "the port is closed");
    fs::rename(&hidden, &certificate).expect("a file");
    let opened = async {
        while ask(&client(&authority, None), &port).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), opened).await.expect("it is taken up");
}

/// Asterisk asks for no certificates; a proxy in front of it may.
#[tokio::test]
async fn the_ari_client_shows_its_certificate() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let port = port(&authority, Some(&clients.ca())).await;
    let (certificate, key) = clients.install(HOST);
    let mut settings = ari::Settings { url: format!("https://{}", port.address), ..ari::Settings::default() };
    settings.tls.ca = Some(authority.ca());
    let ask = |settings: ari::Settings| async move {
        ari::Client::new(&settings).expect("usable files").send(ari::Request::info()).await
    };
    let refused = ask(settings.clone()).await.expect_err("without a certificate");
    assert!(!matches!(refused, AriError::Status { .. }), "{refused:?}");
    settings.tls.certificate = Some(certificate);
    settings.tls.key = Some(key);
    let answer = ask(settings).await;
    assert!(matches!(answer, Err(AriError::Status { code: 404, .. })), "the port is no Asterisk: {answer:?}");
}
