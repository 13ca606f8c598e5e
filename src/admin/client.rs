//! The client of a request: the peer of its connection or, behind trusted proxies, the client that they name.
//!
//! `Forwarded` (RFC 7239) and the older `X-Forwarded-For` are lists to which each proxy appends the address of its
//! peer. A client can send such a header itself, so only the part that trusted proxies wrote counts: the list is
//! read from its right end, up to the first address that is not a trusted proxy's.

use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName, header};
use ipnet::IpNet;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Headers that proxies add. Clients that talk to the port directly send none of them.
const SIGNS_OF_A_PROXY: [HeaderName; 6] = [
    header::FORWARDED,
    FORWARDED_FOR,
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-real-ip"),
    header::VIA,
];

/// `admin.trusted_proxies`
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }
}

/// The address of a request's client, and how far it is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    address: IpAddr,
    evidence: Evidence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Evidence {
    /// The peer of the connection, with no sign of a proxy.
    Direct,
    /// Trusted proxies name the address.
    Named,
    /// A trusted proxy names no address that can be read: the address is the last proxy's.
    Unnamed,
    /// The request carries headers of a proxy, and its peer is not trusted as one: the address is the peer's.
    Untrusted,
}

/// `Forwarded` and `X-Forwarded-For` name different clients. A proxy that writes one of them passes the other on
/// as the client sent it, and it is unknown which of the two is the proxy's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conflict;

impl Client {
    /// # Errors
    /// [`Conflict`] when a trusted proxy passes on two headers that disagree.
    pub fn of(peer: IpAddr, headers: &HeaderMap, proxies: &TrustedProxies) -> Result<Client, Conflict> {
        let peer = peer.to_canonical();
        let is_proxied = SIGNS_OF_A_PROXY.iter().any(|name| headers.contains_key(name));
        if !is_proxied {
            return Ok(Client { address: peer, evidence: Evidence::Direct });
        }
        if !proxies.contains(peer) {
            return Ok(Client { address: peer, evidence: Evidence::Untrusted });
        }
        let named = |hops: Vec<Hop>| nearest_untrusted(peer, hops, proxies);
        match (forwarded(headers).map(named), forwarded_for(headers).map(named)) {
            (Some(one), Some(other)) if one != other => Err(Conflict),
            (Some(client), _) | (None, Some(client)) => Ok(client),
            (None, None) => Ok(Client { address: peer, evidence: Evidence::Unnamed }),
        }
    }

    /// The nearest address that is known for sure: what limits count and logs name. It may be a proxy's.
    pub fn address(self) -> IpAddr {
        self.address
    }

    /// The client's own address, if it is known for sure: what permissions may depend on.
    pub fn proven(self) -> Option<IpAddr> {
        match self.evidence {
            Evidence::Direct | Evidence::Named => Some(self.address),
            Evidence::Unnamed | Evidence::Untrusted => None,
        }
    }

    /// Is it a process of this machine?
    pub fn is_local(self) -> bool {
        self.proven().is_some_and(|address| address.is_loopback())
    }

    /// The reason why the client's own address is not known, with the setting that would change it.
    pub fn doubt(self) -> Option<&'static str> {
        match self.evidence {
            Evidence::Direct | Evidence::Named => None,
            Evidence::Unnamed => {
                Some("the trusted proxy names no client address: have it set X-Forwarded-For or Forwarded")
            }
            Evidence::Untrusted => {
                Some("the request came through a proxy that is not trusted: add it to admin.trusted_proxies")
            }
        }
    }
}

/// An entry of the list; `None` where it names no IP address.
type Hop = Option<IpAddr>;

/// The right-most address that is no trusted proxy's; the left-most one where all are.
fn nearest_untrusted(peer: IpAddr, hops: Vec<Hop>, proxies: &TrustedProxies) -> Client {
    let mut nearest = peer;
    for hop in hops.into_iter().rev() {
        match hop {
            Some(address) if proxies.contains(address) => nearest = address,
            Some(address) => return Client { address, evidence: Evidence::Named },
            None => return Client { address: nearest, evidence: Evidence::Unnamed },
        }
    }
    Client { address: nearest, evidence: Evidence::Named }
}

/// The entries of `X-Forwarded-For`, of all its lines; `None` without any entry.
fn forwarded_for(headers: &HeaderMap) -> Option<Vec<Hop>> {
    let lines = headers.get_all(FORWARDED_FOR).iter();
    let entries = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let entries = entries.map(<[u8]>::trim_ascii).filter(|entry| !entry.is_empty());
    let hops: Vec<Hop> = entries.map(|entry| std::str::from_utf8(entry).ok().and_then(address)).collect();
    (!hops.is_empty()).then_some(hops)
}

/// The entries of `Forwarded`, of all its lines; `None` without any entry. A line that is not well-formed counts as
/// one entry without an address, because nothing in it can be relied on.
fn forwarded(headers: &HeaderMap) -> Option<Vec<Hop>> {
    let lines = headers.get_all(header::FORWARDED).iter();
    let hops = lines.flat_map(|line| line.to_str().ok().and_then(elements).unwrap_or_else(|| vec![None]));
    let hops: Vec<Hop> = hops.collect();
    (!hops.is_empty()).then_some(hops)
}

/// The `for` of each element of a line of `Forwarded`; `None` for a line that is not well-formed.
fn elements(line: &str) -> Option<Vec<Hop>> {
    let mut hops = Vec::new();
    let mut rest = line;
    loop {
        let (hop, after) = element(rest)?;
        // Empty elements are to be ignored (RFC 9110, 5.6.1.2).
        hops.extend(hop);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Some(hops),
        }
    }
}

/// Reads one element, up to its comma or the end of the line: `for=192.0.2.43;proto=https`. The outer `Option` is
/// `None` for an element that is empty.
fn element(text: &str) -> Option<(Option<Hop>, &str)> {
    let (mut is_empty, mut named) = (true, None);
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() || rest.starts_with(',') {
            return Some(((!is_empty).then(|| named.flatten()), rest));
        }
        let (name, value, after) = pair(rest)?;
        is_empty = false;
        if name.eq_ignore_ascii_case("for") && named.replace(address(&value)).is_some() {
            return None;
        }
        rest = after.trim_start();
        match rest.strip_prefix(';') {
            Some(next) => rest = next,
            None if rest.is_empty() || rest.starts_with(',') => {}
            None => return None,
        }
    }
}

/// Reads `name=value` or `name="value"`.
fn pair(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        return None;
    }
    match rest.strip_prefix('"') {
        Some(quoted) => unquoted(quoted).map(|(value, after)| (name, value, after)),
        None => {
            // More than a token: some proxies forget the quotes of an address with a port.
            let end = rest.find([',', ';', '"', '=', ' ', '\t']).unwrap_or(rest.len());
            Some((name, rest[..end].to_owned(), &rest[end..]))
        }
    }
}

/// Reads a quoted string after its opening quote (RFC 9110, 5.6.4).
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// An address as proxies write it: bare, in brackets, with or without a port.
fn address(text: &str) -> Hop {
    let with_port = || text.parse::<std::net::SocketAddr>().map(|address| address.ip());
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<Ipv6Addr>().ok();
    let address = text.parse::<IpAddr>().or_else(|_| with_port()).ok();
    address.or_else(|| in_brackets().map(IpAddr::from)).map(|address| address.to_canonical())
}

/// The unit that an address counts with: of IPv6 a network of 64 bits, the least that a site has and more addresses
/// than could be counted one by one.
pub fn counted(address: IpAddr) -> IpAddr {
    const NETWORK: u128 = u128::MAX << 64;
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
    }
}

#[cfg(test)]
mod tests;
