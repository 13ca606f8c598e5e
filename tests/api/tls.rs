//! TLS on the port: certificates of both sides, and a new one without a restart.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusBuilder;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use reqwest::{Certificate, Client, Identity};
use uuid::Uuid;

use super::port::Port;

/// An authority and the folder in which its certificates lie.
struct Authority {
    folder: PathBuf,
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Authority {
        let folder = std::env::temp_dir().join(format!("vca-tls-{}", Uuid::now_v7()));
        fs::create_dir_all(&folder).expect("a folder");
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        fs::write(folder.join("ca.pem"), &pem).expect("a file");
        Authority { folder, pem, issuer: Issuer::new(params, key) }
    }

    /// A certificate for this machine, and its key.
    fn issue(&self) -> (String, String) {
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("parameters");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// Puts a new certificate and its key where the port finds them.
    fn install(&self) {
        let (certificate, key) = self.issue();
        fs::write(self.folder.join("key.pem"), key).expect("a file");
        fs::write(self.folder.join("certificate.pem"), certificate).expect("a file");
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.folder.join(name))
    }

    /// A client that trusts this authority alone.
    fn client(&self, identity: Option<(String, String)>) -> Client {
        let trusted = Certificate::from_pem(self.pem.as_bytes()).expect("a certificate");
        let builder = Client::builder().tls_certs_only([trusted]).no_proxy().pool_max_idle_per_host(0);
        let builder = match identity {
            Some((certificate, key)) => builder
                .identity(Identity::from_pem(format!("{certificate}{key}").as_bytes()).expect("an identity")),
            None => builder,
        };
        builder.build().expect("a client")
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

async fn port(authority: &Authority, client_ca: Option<&Path>) -> Port {
    authority.install();
    Port::open(|settings| {
        settings.tls.certificate = authority.path("certificate.pem");
        settings.tls.key = authority.path("key.pem");
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
    let answer = ask(&authority.client(None), &port).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert!(answer.headers().contains_key("strict-transport-security"));
    assert!(ask(&Authority::new().client(None), &port).await.is_err(), "another authority is not trusted");
    let plain = Client::new().get(format!("http://{}/healthz", port.address)).send().await;
    assert!(plain.is_err(), "{plain:?}");
}

#[tokio::test]
async fn clients_show_certificates_where_that_is_asked() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let port = port(&authority, clients.path("ca.pem").as_deref()).await;
    let known = authority.client(Some(clients.issue()));
    assert_eq!(ask(&known, &port).await.expect("an answer").status(), 200);
    assert!(ask(&authority.client(None), &port).await.is_err(), "without a certificate");
    let stranger = authority.client(Some(strangers.issue()));
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
    ask(&old.client(None), &port).await.expect("an answer");
    fs::write(old.folder.join("certificate.pem"), "-----BEGIN NONSENSE-----").expect("a file");
    let refused = async {
        while !metrics.render().contains("vca_tls_reloads_total{outcome=\"refused\"}") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), refused).await.expect("it was looked at");
    ask(&old.client(None), &port).await.expect("the old one is still in use");
    new.install();
    for name in ["key.pem", "certificate.pem"] {
        fs::copy(new.folder.join(name), old.folder.join(name)).expect("a file");
    }
    let taken_up = async {
        while ask(&new.client(None), &port).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), taken_up).await.expect("the new one");
}
