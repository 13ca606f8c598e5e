//! `[admin]`: where the port is opened, for whom, and within which limits.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::Deserialize;

use super::api::LimitSettings;
use crate::telephony;

/// `[admin]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address and port. Default `127.0.0.1:8080`.
    pub bind: SocketAddr,
    /// May other machines reach it without TLS, so that API keys cross the network in the clear? Default false.
    pub allow_plaintext_remote: bool,
    /// Reverse proxies: addresses and networks with a trusted `Forwarded` or `X-Forwarded-For`. Default none.
    #[serde(deserialize_with = "telephony::networks")]
    pub trusted_proxies: Vec<IpNet>,
    /// Who may read `/metrics`. Default [`MetricsAccess::Local`] on a loopback address, otherwise
    /// [`MetricsAccess::Operator`].
    pub metrics: Option<MetricsAccess>,
    /// Connections at once. Default 512.
    pub max_connections: usize,
    /// Connections at once from one address (of IPv6, one network of 64 bits) that is no trusted proxy's. Default 128.
    pub max_connections_per_address: usize,
    /// How long a client may take to send the head of a request, and how long a connection may be idle, in
    /// milliseconds. Default 10,000.
    pub header_timeout_ms: u64,
    /// How long the body of a request may take, in milliseconds. Default 10,000.
    pub body_timeout_ms: u64,
    /// How long a response may take to begin, in milliseconds. Default 15,000.
    pub request_timeout_ms: u64,
    /// How long a client may read nothing of a response that waits for it, in milliseconds. Default 10,000.
    pub write_timeout_ms: u64,
    pub tls: TlsSettings,
    pub limits: LimitSettings,
}

/// `[admin.tls]`: with a certificate and its key the port speaks TLS, and nothing else.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsSettings {
    /// A PEM file: the certificate, then those that lead to its root.
    pub certificate: Option<PathBuf>,
    /// A PEM file: PKCS #8, PKCS #1 or SEC 1.
    pub key: Option<PathBuf>,
    /// A PEM file of certificates. With it, a client needs a certificate signed by one of these.
    pub client_ca: Option<PathBuf>,
}

/// Who may read `/metrics`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MetricsAccess {
    /// All clients that reach the port.
    Open,
    /// Clients on this machine, and others with an operator's key.
    Local,
    /// Clients with an operator's key.
    Operator,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            allow_plaintext_remote: false,
            trusted_proxies: Vec::new(),
            metrics: None,
            max_connections: 512,
            max_connections_per_address: 128,
            header_timeout_ms: 10_000,
            body_timeout_ms: 10_000,
            request_timeout_ms: 15_000,
            write_timeout_ms: 10_000,
            tls: TlsSettings::default(),
            limits: LimitSettings::default(),
        }
    }
}

impl Settings {
    pub fn metrics_access(&self) -> MetricsAccess {
        let built_in =
            if self.bind.ip().is_loopback() { MetricsAccess::Local } else { MetricsAccess::Operator };
        self.metrics.unwrap_or(built_in)
    }

    /// Would secrets cross the network unencrypted, without a setting that allows it?
    pub fn is_exposed(&self) -> bool {
        !self.bind.ip().is_loopback() && self.tls.certificate.is_none() && !self.allow_plaintext_remote
    }
}
