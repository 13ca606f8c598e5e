//! The policy for clients that are built elsewhere: HTTP clients with settings of their own, and WebSockets.

use std::io;
use std::net::SocketAddr;

use reqwest::{ClientBuilder, Url, redirect};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::lookups::NameLookups;
use super::policy::{DestinationError, DestinationPolicy, DestinationResolver, permitted_addresses};

/// A [`DestinationPolicy`] with its limit of lookups, which clones share.
#[derive(Debug, Clone)]
pub struct Guard {
    policy: DestinationPolicy,
    lookups: NameLookups,
    tenant: Option<Uuid>,
}

impl Guard {
    pub fn new(policy: DestinationPolicy) -> Guard {
        Guard { policy, lookups: NameLookups::default(), tenant: None }
    }

    /// The same for the requests of one tenant, whose lookups leave places for those of others.
    #[must_use]
    pub fn for_tenant(&self, tenant: Uuid) -> Guard {
        Guard { tenant: Some(tenant), ..self.clone() }
    }

    /// Parses a URL, and checks it as far as possible without resolving its name.
    ///
    /// # Errors
    /// The problem of the URL.
    pub fn check(&self, url: &str) -> Result<Url, DestinationError> {
        self.policy.check(url)
    }

    /// The client reaches permitted addresses only, without a proxy, which would resolve names itself, and follows no redirects.
    pub fn apply(&self, builder: ClientBuilder) -> ClientBuilder {
        let resolver = DestinationResolver::new(self.policy, self.lookups.clone()).for_tenant(self.tenant);
        builder.dns_resolver(resolver).no_proxy().redirect(redirect::Policy::none())
    }

    /// Connects to the host of a URL. The caller limits the time.
    ///
    /// # Errors
    /// The URL has no host, the policy refuses its addresses, or none of them accepts the connection.
    pub async fn connect(&self, url: &Url) -> io::Result<TcpStream> {
        let host = url.host_str().ok_or_else(|| io::Error::other(DestinationError::Unreadable))?;
        let port = url.port_or_known_default().unwrap_or(443);
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let found = permitted_addresses(self.policy, (&self.lookups, self.tenant), bare);
        let found = found.await.map_err(io::Error::other)?;
        let addresses: Vec<SocketAddr> =
            found.into_iter().map(|address| SocketAddr::new(address.ip(), port)).collect();
        TcpStream::connect(addresses.as_slice()).await
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn guard(allow_private: bool) -> Guard {
        Guard::new(DestinationPolicy { allow_private, allow_http: true })
    }

    #[tokio::test]
    async fn a_socket_reaches_permitted_addresses_only() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        for host in ["127.0.0.1", "localhost"] {
            let url = Url::parse(&format!("http://{host}:{port}/")).expect("a URL");
            assert!(guard(true).connect(&url).await.is_ok(), "{host}");
            let refused = guard(false).connect(&url).await.expect_err(host).to_string();
            assert!(refused.contains("not public"), "{refused}");
        }
    }
}
