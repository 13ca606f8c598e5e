//! The receivers that may be reached: tenants name them, and none may lead into the daemon's own network
//! (server-side request forgery).
//!
//! A name is resolved once, and the connection uses the checked addresses: a later change in DNS has no effect.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::Settings;

/// The longest URL, in characters.
const LONGEST: usize = 2_000;

/// The receivers that the settings allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guard {
    allow_private: bool,
    allow_http: bool,
}

/// Why a receiver is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedReceiver {
    #[error("this is not a URL; an example is https://example.com/hooks")]
    Unreadable,
    #[error("the URL is longer than {LONGEST} characters")]
    Long,
    #[error("the URL has to begin with https://")]
    Insecure,
    #[error(
        "the URL must not contain a user, a password or a fragment; the signature authenticates the request"
    )]
    Credentials,
    #[error("the receiver's address is not public: {0}")]
    Address(&'static str),
}

impl Guard {
    pub fn new(settings: &Settings) -> Guard {
        Guard { allow_private: settings.allow_private_targets, allow_http: settings.allow_http }
    }

    /// Parses a URL, and checks it as far as possible without resolving its name.
    ///
    /// # Errors
    /// The problem of the URL.
    pub fn check(&self, text: &str) -> Result<Url, RefusedReceiver> {
        if text.len() > LONGEST {
            return Err(RefusedReceiver::Long);
        }
        let url = Url::parse(text).map_err(|_| RefusedReceiver::Unreadable)?;
        match url.scheme() {
            "https" => {}
            "http" if self.allow_http => {}
            _ => return Err(RefusedReceiver::Insecure),
        }
        if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
            return Err(RefusedReceiver::Credentials);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(RefusedReceiver::Unreadable)?;
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
    pub fn admit(&self, address: IpAddr) -> Result<(), RefusedReceiver> {
        match kind(address) {
            Some(kind) if !self.allow_private => Err(RefusedReceiver::Address(kind)),
            _ => Ok(()),
        }
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = *self;
        Box::pin(async move {
            let mut refusal = None;
            let mut fit: Vec<SocketAddr> = Vec::new();
            for address in tokio::net::lookup_host((name.as_str(), 0)).await? {
                match guard.admit(address.ip()) {
                    Ok(()) => fit.push(address),
                    Err(refused) => refusal = Some(refused),
                }
            }
            match refusal {
                Some(refused) if fit.is_empty() => Err(refused.into()),
                _ => Ok(Box::new(fit.into_iter()) as Addrs),
            }
        })
    }
}

/// Names that mean this machine in every resolver (RFC 6761, section 6.3).
fn admit_name(host: &str) -> Result<(), RefusedReceiver> {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_local = host == "localhost" || host.ends_with(".localhost");
    if is_local { Err(RefusedReceiver::Address("localhost")) } else { Ok(()) }
}

/// The kind of an address that is not public. Of IPv6 only global unicast is public: that excludes addresses with
/// an embedded IPv4 address (mapped, compatible, NAT64), unique local, link-local and multicast addresses.
fn kind(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => {
            SPECIAL_V4.iter().find(|(network, bits, _)| within_v4(address, *network, *bits)).map(|it| it.2)
        }
        IpAddr::V6(address) if !within_v6(address, Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3) => {
            Some("not global unicast")
        }
        IpAddr::V6(address) => {
            SPECIAL_V6.iter().find(|(network, bits, _)| within_v6(address, *network, *bits)).map(|it| it.2)
        }
    }
}

/// The registry of special-purpose addresses (RFC 6890, <https://www.iana.org/assignments/iana-ipv4-special-registry>).
const SPECIAL_V4: [(Ipv4Addr, u32, &str); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8, "unspecified"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared by a carrier's customers"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "reserved for protocols"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "for documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relay"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "for benchmarks"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "for documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "for documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// The same within 2000::/3 (<https://www.iana.org/assignments/iana-ipv6-special-registry>).
const SPECIAL_V6: [(Ipv6Addr, u32, &str); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, "reserved for protocols"),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, "for documentation"),
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, "6to4"),
    (Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0), 48, "AS112"),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, "for documentation"),
];

fn within_v4(address: Ipv4Addr, network: Ipv4Addr, bits: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
}

fn within_v6(address: Ipv6Addr, network: Ipv6Addr, bits: u32) -> bool {
    (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STRICT: Guard = Guard { allow_private: false, allow_http: false };
    const LAX: Guard = Guard { allow_private: true, allow_http: true };

    #[test]
    fn receivers_are_public_and_speak_tls() {
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
            ("", RefusedReceiver::Unreadable),
            ("example.com/hooks", RefusedReceiver::Unreadable),
            ("https://", RefusedReceiver::Unreadable),
            ("http://example.com/", RefusedReceiver::Insecure),
            ("file:///etc/passwd", RefusedReceiver::Insecure),
            ("gopher://example.com/", RefusedReceiver::Insecure),
            ("https://user@example.com/", RefusedReceiver::Credentials),
            ("https://:pass@example.com/", RefusedReceiver::Credentials),
            ("https://example.com/#top", RefusedReceiver::Credentials),
            ("https://localhost/", RefusedReceiver::Address("localhost")),
            ("https://LOCALHOST./", RefusedReceiver::Address("localhost")),
            ("https://db.localhost/", RefusedReceiver::Address("localhost")),
            ("https://127.0.0.1/", RefusedReceiver::Address("loopback")),
            ("https://127.1/", RefusedReceiver::Address("loopback")),
            ("https://0x7f000001/", RefusedReceiver::Address("loopback")),
            ("https://2130706433/", RefusedReceiver::Address("loopback")),
            ("https://0177.0.0.1/", RefusedReceiver::Address("loopback")),
            ("https://①②⑦.⓪.⓪.①/", RefusedReceiver::Address("loopback")),
            ("https://169.254.169.254/latest/meta-data/", RefusedReceiver::Address("link-local")),
            ("https://100.64.0.1/", RefusedReceiver::Address("shared by a carrier's customers")),
            ("https://0.0.0.0/", RefusedReceiver::Address("unspecified")),
            ("https://[::1]/", RefusedReceiver::Address("not global unicast")),
            ("https://[::]/", RefusedReceiver::Address("not global unicast")),
            ("https://[::ffff:8.8.8.8]/", RefusedReceiver::Address("not global unicast")),
            ("https://[64:ff9b::7f00:1]/", RefusedReceiver::Address("not global unicast")),
            ("https://[fd00::1]/", RefusedReceiver::Address("not global unicast")),
            ("https://[fe80::1]/", RefusedReceiver::Address("not global unicast")),
            ("https://[ff02::1]/", RefusedReceiver::Address("not global unicast")),
            ("https://[2002:7f00:1::]/", RefusedReceiver::Address("6to4")),
        ] {
            assert_eq!(STRICT.check(url).err(), Some(refusal), "{url}");
        }
        assert_eq!(
            STRICT.check(&format!("https://example.com/{}", "x".repeat(2_000))),
            Err(RefusedReceiver::Long)
        );
        assert!(LAX.check("http://127.0.0.1:9000/").is_ok());
        assert_eq!(LAX.check("ftp://127.0.0.1/"), Err(RefusedReceiver::Insecure));
    }

    #[tokio::test]
    async fn what_a_name_leads_to_is_judged() {
        let name = || "localhost".parse().expect("a name");
        let refused = STRICT.resolve(name()).await.err().expect("loopback");
        assert!(matches!(refused.downcast_ref(), Some(RefusedReceiver::Address(_))), "{refused}");
        assert!(LAX.resolve(name()).await.expect("an address").all(|address| address.ip().is_loopback()));
    }

    proptest! {
        /// Whatever the standard library knows to be special is refused, in each of its disguises.
        #[test]
        fn special_addresses_are_refused(bits: u32, low in 0_usize..12, rest: u128) {
            // Chance alone seldom meets the small networks.
            let seeds = [0x7f00_0000, 0x0a00_0000, 0xac10_0000, 0xc0a8_0000, 0xa9fe_0000, 0xe000_0000,
                0xffff_ffff, 0, 0xc000_0200, 0xc633_6400, 0xcb00_7100, bits];
            let v4 = Ipv4Addr::from_bits(seeds[low] | (bits & 0xff));
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!special || kind(v4.into()).is_some(), "{v4}");
            let nat64 = Ipv6Addr::from_bits((0x64_ff9b << 96) | u128::from(v4.to_bits()));
            let compatible = Ipv6Addr::from_bits(v4.to_bits().into());
            for disguised in [v4.to_ipv6_mapped(), compatible, nat64] {
                prop_assert!(kind(disguised.into()).is_some(), "{disguised}");
            }
            let v6 = Ipv6Addr::from_bits(rest);
            let special = v6.is_loopback() || v6.is_multicast() || v6.is_unspecified()
                || v6.is_unique_local() || v6.is_unicast_link_local() || v6.to_ipv4().is_some();
            prop_assert!(!special || kind(v6.into()).is_some(), "{v6}");
        }

        /// An address is refused exactly when a network of the registry holds it.
        #[test]
        fn a_network_is_refused_as_a_whole_and_nothing_beside_it(index in 0_usize..16, host: u32) {
            let (network, bits, name) = SPECIAL_V4[index];
            let inside = Ipv4Addr::from_bits(network.to_bits() | (host & (u32::MAX >> bits)));
            prop_assert_eq!(kind(inside.into()), Some(name));
            let any = Ipv4Addr::from_bits(host);
            let listed = SPECIAL_V4.iter().any(|(network, bits, _)| {
                let mask = u32::MAX << (32 - bits);
                any.to_bits() & mask == network.to_bits()
            });
            prop_assert_eq!(kind(any.into()).is_some(), listed, "{}", any);
        }

        #[test]
        fn any_text_is_judged(text: String) {
            let _ = STRICT.check(&text);
            let _ = STRICT.check(&format!("https://{text}/"));
        }
    }
}
