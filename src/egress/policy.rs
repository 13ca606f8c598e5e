//! The destinations that may be reached: tenants name them, and none may lead into the daemon's own network
//! (server-side request forgery).
//!
//! A name is resolved once, and the connection uses the checked addresses: a later change in DNS has no effect.

use std::error::Error;
use std::net::{IpAddr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use uuid::Uuid;

use super::addresses::special_purpose;
use super::lookups::{NameLookups, TENANT};

/// The longest URL, in characters.
const LONGEST: usize = 2_000;

/// The destinations that the operator allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DestinationPolicy {
    /// Allows loopback, private and other addresses that are not public.
    pub allow_private: bool,
    /// Allows `http://`.
    pub allow_http: bool,
}

/// Why a destination is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    #[error("this is not a URL; an example is https://example.com/hooks")]
    Unreadable,
    #[error("the URL is longer than {LONGEST} characters")]
    Long,
    #[error("the URL has to begin with https://")]
    Insecure,
    #[error("the URL must not contain a user, a password or a fragment")]
    Credentials,
    #[error("the address is not public: {0}")]
    Address(&'static str),
}

impl DestinationPolicy {
    /// Parses a URL, and checks it as far as possible without resolving its name.
    ///
    /// # Errors
    /// The problem of the URL.
    pub fn check(&self, text: &str) -> Result<Url, DestinationError> {
        if text.len() > LONGEST {
            return Err(DestinationError::Long);
        }
        let url = Url::parse(text).map_err(|_| DestinationError::Unreadable)?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            _ => return Err(DestinationError::Insecure),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(DestinationError::Credentials);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(DestinationError::Unreadable)?;
        // An address in the URL is never resolved. The parser has normalised 0x7f.1 and the like.
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) => self.admit(address)?,
            Err(_) if self.allow_private => {}
            Err(_) => admit_name(bare)?,
        }
        Ok(url)
    }

    /// # Errors
    /// The kind of address, when it may not be reached.
    pub fn admit(&self, address: IpAddr) -> Result<(), DestinationError> {
        match special_purpose(address) {
            Some(kind) if !self.allow_private => Err(DestinationError::Address(kind)),
            _ => Ok(()),
        }
    }
}

/// Resolves names to the addresses that a policy allows.
pub(super) struct DestinationResolver {
    policy: DestinationPolicy,
    lookups: NameLookups,
    /// The tenant of all requests; of none, each request has its own ([`TENANT`]).
    tenant: Option<Uuid>,
}

impl DestinationResolver {
    pub fn new(policy: DestinationPolicy, lookups: NameLookups) -> DestinationResolver {
        DestinationResolver { policy, lookups, tenant: None }
    }

    /// For the requests of one tenant.
    pub fn for_tenant(self, tenant: Option<Uuid>) -> DestinationResolver {
        DestinationResolver { tenant, ..self }
    }
}

impl Resolve for DestinationResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (policy, lookups) = (self.policy, self.lookups.clone());
        // Called by the task that sends the request.
        let tenant = self.tenant.or_else(|| TENANT.try_with(|tenant| *tenant).ok());
        Box::pin(async move {
            let found = permitted_addresses(policy, (&lookups, tenant), name.as_str()).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// The addresses of a host that a policy permits.
///
/// # Errors
/// [`DestinationError`] where it permits none of them; otherwise the resolver's.
pub(super) async fn permitted_addresses(
    policy: DestinationPolicy,
    (lookups, tenant): (&NameLookups, Option<Uuid>),
    host: &str,
) -> Result<Vec<SocketAddr>, Box<dyn Error + Send + Sync>> {
    let mut refusal = None;
    let mut fit: Vec<SocketAddr> = Vec::new();
    for address in lookups.look_up(tenant, host).await? {
        match policy.admit(address.ip()) {
            Ok(()) => fit.push(address),
            Err(refused) => refusal = Some(refused),
        }
    }
    match refusal {
        Some(refused) if fit.is_empty() => Err(refused.into()),
        _ => Ok(fit),
    }
}

/// Names that mean this machine in every resolver (RFC 6761, section 6.3).
fn admit_name(host: &str) -> Result<(), DestinationError> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_local = host == "localhost" || host.ends_with(".localhost");
    if is_local { Err(DestinationError::Address("localhost")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: DestinationPolicy = DestinationPolicy { allow_private: false, allow_http: false };
    const LAX: DestinationPolicy = DestinationPolicy { allow_private: true, allow_http: true };

    #[test]
    fn destinations_are_public_and_use_tls() {
        for url in [
            "https://example.com/hooks?x=1",
            "https://example.com:8443/",
            "https://8.8.8.8/",
            "https://[2606:4700::1111]/",
            "https://xn--bcher-kva.example/",
        ] {
            assert!(STRICT.check(url).is_ok(), "{url}: {:?}", STRICT.check(url));
        }
        for (url, refusal) in [
            ("", DestinationError::Unreadable),
            ("example.com/hooks", DestinationError::Unreadable),
            ("https://", DestinationError::Unreadable),
            ("http://example.com/", DestinationError::Insecure),
            ("file:///etc/passwd", DestinationError::Insecure),
            ("gopher://example.com/", DestinationError::Insecure),
            ("https://user@example.com/", DestinationError::Credentials),
            ("https://:pass@example.com/", DestinationError::Credentials),
            ("https://example.com/#top", DestinationError::Credentials),
            ("https://localhost/", DestinationError::Address("localhost")),
            ("https://LOCALHOST./", DestinationError::Address("localhost")),
            ("https://db.localhost/", DestinationError::Address("localhost")),
            ("https://127.0.0.1/", DestinationError::Address("loopback")),
            ("https://127.1/", DestinationError::Address("loopback")),
            ("https://0x7f000001/", DestinationError::Address("loopback")),
            ("https://2130706433/", DestinationError::Address("loopback")),
            ("https://0177.0.0.1/", DestinationError::Address("loopback")),
            ("https://①②⑦.⓪.⓪.①/", DestinationError::Address("loopback")),
            ("https://169.254.169.254/latest/meta-data/", DestinationError::Address("link-local")),
            ("https://100.64.0.1/", DestinationError::Address("shared by a carrier's customers")),
            ("https://0.0.0.0/", DestinationError::Address("unspecified")),
            ("https://[::1]/", DestinationError::Address("not global unicast")),
            ("https://[::]/", DestinationError::Address("not global unicast")),
            ("https://[::ffff:8.8.8.8]/", DestinationError::Address("not global unicast")),
            ("https://[64:ff9b::7f00:1]/", DestinationError::Address("not global unicast")),
            ("https://[fd00::1]/", DestinationError::Address("not global unicast")),
            ("https://[fe80::1]/", DestinationError::Address("not global unicast")),
            ("https://[ff02::1]/", DestinationError::Address("not global unicast")),
            ("https://[2002:7f00:1::]/", DestinationError::Address("6to4")),
        ] {
            assert_eq!(STRICT.check(url).err(), Some(refusal), "{url}");
        }
        assert_eq!(
            STRICT.check(&format!("https://example.com/{}", "x".repeat(2_000))),
            Err(DestinationError::Long)
        );
        assert!(LAX.check("http://127.0.0.1:9000/").is_ok());
        assert_eq!(LAX.check("ftp://127.0.0.1/"), Err(DestinationError::Insecure));
    }

    #[tokio::test]
    async fn the_addresses_of_a_name_are_checked() {
        let name = || "localhost".parse().expect("a name");
        let [strict, lax] =
            [STRICT, LAX].map(|policy| DestinationResolver::new(policy, NameLookups::default()));
        let refused = strict.resolve(name()).await.err().expect("loopback");
        assert!(matches!(refused.downcast_ref(), Some(DestinationError::Address(_))), "{refused}");
        assert!(lax.resolve(name()).await.expect("an address").all(|address| address.ip().is_loopback()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = STRICT.check(&text);
            let _ = STRICT.check(&format!("https://{text}/"));
        }
    }
}
