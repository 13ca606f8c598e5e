//! The running daemon, as a command reaches it: over its HTTP port, with an operator's key.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use reqwest::{Certificate, Identity, Method, RequestBuilder, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::failure::Failure;
use crate::config::Config;

/// How to reach the daemon.
#[derive(Debug, Args)]
pub struct Access {
    /// An operator's API key; `vca key create --operator` makes one.
    #[arg(long, env = "VCA_API_KEY", hide_env_values = true, value_name = "KEY", value_parser = secret)]
    key: Option<SecretString>,
    /// A file that contains such a key, used where no key is given otherwise.
    #[arg(long, env = "VCA_API_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// The daemon's HTTP port. Default: `admin.bind` of the configuration, and `https` where `[admin.tls]` is set. A
    /// certificate is for a name: then write that name, as in https://pbx.example.com:8080.
    #[arg(long, env = "VCA_URL")]
    url: Option<String>,
    /// A PEM file of certificates that the daemon's own was signed by, beside those that this machine trusts.
    #[arg(long, env = "VCA_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// A PEM file with a certificate and its key, for a daemon with `admin.tls.client_ca`.
    #[arg(long, env = "VCA_CLIENT_CERTIFICATE", value_name = "FILE")]
    client_certificate: Option<PathBuf>,
}

impl Access {
    fn client(&self) -> Result<reqwest::Client, Failure> {
        self.build(reqwest::Client::builder())
    }

    fn build(&self, builder: reqwest::ClientBuilder) -> Result<reqwest::Client, Failure> {
        let mut builder =
            builder.no_proxy().connect_timeout(REQUEST_TIMEOUT).read_timeout(STREAM_IDLE_TIMEOUT);
        if let Some(file) = &self.ca {
            let roots = Certificate::from_pem_bundle(&read(file)?).map_err(|error| unusable(file, &error))?;
            builder = builder.tls_certs_merge(roots);
        }
        if let Some(file) = &self.client_certificate {
            builder =
                builder.identity(Identity::from_pem(&read(file)?).map_err(|error| unusable(file, &error))?);
        }
        builder.build().map_err(|error| Failure::from(anyhow::Error::from(error)))
    }

    fn key(&self) -> Result<Option<SecretString>, Failure> {
        let given = self.key.clone().filter(|key| !key.expose_secret().is_empty());
        match (given, &self.key_file) {
            (None, Some(file)) => read_key(file).map(Some),
            (given, _) => Ok(given),
        }
    }

    fn base(&self, config: &Config) -> String {
        let scheme = if config.admin.tls.certificate.is_some() { "https" } else { "http" };
        match &self.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("{scheme}://{}", reachable(config.admin.bind)),
        }
    }
}

/// The key in a file, without the line break at its end.
fn read_key(file: &Path) -> Result<SecretString, Failure> {
    let text = std::fs::read_to_string(file).map_err(|error| unusable(file, &error))?;
    match text.trim() {
        "" => Err(unusable(file, &"it is empty")),
        key => Ok(SecretString::from(key)),
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| unusable(file, &error))
}

fn unusable(file: &Path, problem: &dyn std::fmt::Display) -> Failure {
    Failure::unacceptable(format!("{} cannot be used: {problem}", file.display()))
}

fn secret(text: &str) -> Result<SecretString, std::convert::Infallible> {
    Ok(SecretString::from(text))
}

pub struct DaemonClient {
    http: reqwest::Client,
    base: String,
    key: Option<SecretString>,
}

/// Why there is no report of the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unanswered {
    NoConnection,
    /// It requires an operator's key.
    Refused,
    /// Another program responds: its response.
    NoDaemon(String),
}

/// The fields that are printed.
#[derive(Deserialize)]
struct ApiProblem {
    detail: String,
}

/// For the connection, and for a response that is not a stream.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// A stream without even a keep-alive comment is considered dead.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

impl DaemonClient {
    pub fn open(access: &Access, config: &Config) -> Result<DaemonClient, Failure> {
        let key = access.key()?.ok_or_else(|| {
            Failure::unacceptable(
                "the running daemon asks for an operator's API key: give it with --key or in VCA_API_KEY, or its file \
                 with --key-file or in VCA_API_KEY_FILE; `vca key create --operator` creates one",
            )
        })?;
        Ok(DaemonClient { http: access.client()?, base: access.base(config), key: Some(key) })
    }

    /// The daemon as it responds to any client on this machine, with a key where there is one. Without a key, nothing secret
    /// is sent, and its certificate, which need not be for this address, is not verified.
    pub fn keyless(access: &Access, config: &Config) -> Result<DaemonClient, Failure> {
        let (key, builder) = (access.key()?, reqwest::Client::builder());
        let http = access.build(builder.tls_danger_accept_invalid_certs(key.is_none()))?;
        Ok(DaemonClient { http, base: access.base(config), key })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// Sends a request and returns the reason of a failure instead of reporting it.
    pub async fn ask<T: DeserializeOwned>(&self, path: &str) -> Result<T, Unanswered> {
        let response = self.request(Method::GET, path).timeout(REQUEST_TIMEOUT).send().await;
        let response =
            response.map_err(|error| match error.is_connect() && !self.base.starts_with("https") {
                true => Unanswered::NoConnection,
                false => Unanswered::NoDaemon(format!("{:#}", anyhow::Error::from(error.without_url()))),
            })?;
        let status = response.status();
        if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS)
        {
            return Err(Unanswered::Refused);
        }
        let body = response.json().await;
        body.map_err(|_| Unanswered::NoDaemon(format!("HTTP {status} without a report of vca")))
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        match &self.key {
            Some(key) => request.bearer_auth(key.expose_secret()),
            None => request,
        }
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let body = self.send(self.request(Method::GET, path).timeout(REQUEST_TIMEOUT)).await?.json().await;
        body.map_err(|error| Failure::unavailable(format!("{} is no daemon of ours: {error}", self.base)))
    }

    pub async fn post(&self, path: &str) -> Result<(), Failure> {
        self.send(self.request(Method::POST, path).timeout(REQUEST_TIMEOUT)).await.map(drop)
    }

    pub async fn post_json(&self, path: &str, body: &Value) -> Result<(), Failure> {
        let request = self.request(Method::POST, path).timeout(REQUEST_TIMEOUT);
        self.send(request.json(body)).await.map(drop)
    }

    /// An answer that goes on.
    pub async fn stream(&self, path: &str) -> Result<Response, Failure> {
        self.send(self.request(Method::GET, path)).await
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let response = request.send().await.map_err(|error| {
            let base = &self.base;
            let cause = anyhow::Error::from(error);
            Failure::unavailable(format!(
                "no daemon answers at {base}: does `vca serve` run there, and is admin.bind its own? With TLS: is the \
                 certificate for this name, and is its root known (--url, --ca)? ({cause:#})"
            ))
        })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem = response.json::<ApiProblem>().await;
        let detail =
            problem.map_or_else(|_| format!("the daemon answers {status}"), |problem| problem.detail);
        Err(match status {
            StatusCode::NOT_FOUND => Failure::not_found(detail),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Failure::unavailable(detail),
            _ => Failure::unacceptable(detail),
        })
    }
}

/// A daemon that listens on every address is reached at loopback.
fn reachable(bind: SocketAddr) -> SocketAddr {
    let address = match bind.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        given => given,
    };
    SocketAddr::new(address, bind.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(key: &str, url: &str) -> Access {
        Access {
            key: Some(SecretString::from(key)),
            key_file: None,
            url: Some(url.to_owned()),
            ca: None,
            client_certificate: None,
        }
    }

    #[test]
    fn a_daemon_on_every_address_is_reached_at_loopback() {
        let reached = |bind: &str| reachable(bind.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:1"), "[::1]:1");
        assert_eq!(reached("192.0.2.1:80"), "192.0.2.1:80");
    }

    #[test]
    fn a_key_may_be_in_a_file() {
        let file = std::env::temp_dir().join(format!("vca-key-{:016x}", rand::random::<u64>()));
        let key_of = |access: Access| access.key().map(|key| key.map(|it| it.expose_secret().to_owned()));
        let with_file = |key| Access { key_file: Some(file.clone()), ..access(key, "") };
        assert!(key_of(with_file("")).is_err_and(|it| it.code == 65), "there is no such file");
        std::fs::write(&file, "vca_in_file\n").expect("a file");
        assert_eq!(key_of(with_file("")), Ok(Some("vca_in_file".to_owned())));
        assert_eq!(key_of(with_file("vca_given")), Ok(Some("vca_given".to_owned())));
        std::fs::write(&file, "\n").expect("a file");
        let empty = key_of(with_file("")).expect_err("no key");
        assert!(empty.text.ends_with("cannot be used: it is empty"), "{empty:?}");
        std::fs::remove_file(&file).expect("removed");
    }

    #[tokio::test]
    async fn what_is_missing_is_said() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Config::default();
        let keyless =
            DaemonClient::open(&access("", "http://127.0.0.1:1"), &config).err().expect("a failure");
        assert!(keyless.code == 65 && keyless.text.contains("VCA_API_KEY"), "{keyless:?}");
        // Nobody listens on a port that was given back.
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port");
        let missing = Access { ca: Some("/nowhere.pem".into()), ..access("vca_x", "https://127.0.0.1:1") };
        let failure = DaemonClient::open(&missing, &config).err().expect("a failure");
        assert!(failure.code == 65 && failure.text.contains("/nowhere.pem"), "{failure:?}");
        let line = DaemonClient::open(&access("vca_x", &format!("http://{port}/")), &config).expect("a line");
        let failure = line.post("/").await.expect_err("a failure");
        assert!(failure.code == 69 && failure.text.contains("vca serve"), "{failure:?}");
        assert!(!failure.text.contains("vca_x"), "{failure:?}");
    }
}
