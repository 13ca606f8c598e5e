//! Headers as proxies and attackers write them.

use std::net::{Ipv4Addr, Ipv6Addr};

use axum::http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn proxies() -> TrustedProxies {
    TrustedProxies(vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/24".parse().unwrap()])
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let line = |(name, value): &(&str, &str)| {
        (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
    };
    lines.iter().map(line).collect()
}

fn seen(peer: &str, lines: &[(&str, &str)]) -> Result<Client, Conflict> {
    Client::of(ip(peer), &headers(lines), &proxies())
}

fn proven(peer: &str, lines: &[(&str, &str)]) -> Option<IpAddr> {
    seen(peer, lines).unwrap().proven()
}

#[test]
fn the_right_most_address_that_is_no_proxys_is_the_client() {
    let cases = [
        ("x-forwarded-for", "192.0.2.1", "192.0.2.1"),
        ("x-forwarded-for", "198.51.100.9, 192.0.2.1,10.0.0.7", "192.0.2.1"),
        ("x-forwarded-for", "2001:db8::1", "2001:db8::1"),
        ("x-forwarded-for", "[2001:db8::1]:443", "2001:db8::1"),
        ("x-forwarded-for", "192.0.2.1:5060, , 10.0.0.7", "192.0.2.1"),
        ("x-forwarded-for", "::ffff:192.0.2.1", "192.0.2.1"),
        ("x-forwarded-for", "10.0.0.9, 10.0.0.7", "10.0.0.9"),
        ("forwarded", "for=192.0.2.1", "192.0.2.1"),
        ("forwarded", r#"For="[2001:db8:cafe::17]:4711";proto=https"#, "2001:db8:cafe::17"),
        ("forwarded", r#"for=198.51.100.9, for=192.0.2.1;by="_x,y\"z";host=a , for=10.0.0.7"#, "192.0.2.1"),
        ("forwarded", "proto=https; for=192.0.2.1:80,", "192.0.2.1"),
    ];
    for (name, value, expected) in cases {
        assert_eq!(proven("10.0.0.1", &[(name, value)]), Some(ip(expected)), "{name}: {value}");
    }
    let lines = [("x-forwarded-for", "203.0.113.5"), ("x-forwarded-for", "192.0.2.1, 10.0.0.7")];
    assert_eq!(proven("10.0.0.1", &lines), Some(ip("192.0.2.1")), "several lines are one list");
}

#[test]
fn a_header_from_elsewhere_is_not_believed() {
    let client = seen("192.0.2.1", &[("x-forwarded-for", "127.0.0.1")]).unwrap();
    assert_eq!((client.address(), client.proven(), client.is_local()), (ip("192.0.2.1"), None, false));
    assert!(client.doubt().unwrap().contains("admin.trusted_proxies"));
    let plain = seen("192.0.2.1", &[]).unwrap();
    assert_eq!((plain.proven(), plain.doubt()), (Some(ip("192.0.2.1")), None));
}

#[test]
fn a_loopback_peer_with_any_header_of_a_proxy_is_not_local_unless_it_is_trusted() {
    let nobody = TrustedProxies::default();
    for name in &SIGNS_OF_A_PROXY {
        let lines = headers(&[(name.as_str(), "127.0.0.1")]);
        let client = Client::of(Ipv4Addr::LOCALHOST.into(), &lines, &nobody).unwrap();
        assert!(!client.is_local() && client.proven().is_none(), "{name}");
        assert!(client.address().is_loopback(), "{name}");
    }
    let direct = Client::of(Ipv6Addr::LOCALHOST.into(), &HeaderMap::new(), &nobody).unwrap();
    assert!(direct.is_local());
    assert!(seen("127.0.0.1", &[("x-forwarded-for", "127.0.0.1")]).unwrap().is_local());
    assert!(!seen("127.0.0.1", &[("x-forwarded-for", "192.0.2.1")]).unwrap().is_local());
}

#[test]
fn a_proxy_that_names_no_address_names_no_client() {
    let lines = [
        ("x-forwarded-for", "192.0.2.1, unknown"),
        ("x-forwarded-for", "192.0.2.1, localhost, 10.0.0.7"),
        ("forwarded", "for=192.0.2.1, for=_hidden"),
        ("forwarded", "for=192.0.2.1, proto=https"),
        ("forwarded", r#"for=192.0.2.1;by="open"#),
        ("forwarded", "for=192.0.2.1;for=192.0.2.2"),
        ("forwarded", r#"for="192.0.2.1"x"#),
        ("forwarded", "192.0.2.1"),
        ("via", "1.1 proxy"),
    ];
    for (name, value) in lines {
        let client = seen("10.0.0.1", &[(name, value)]).unwrap();
        assert_eq!(client.proven(), None, "{name}: {value}");
        assert!(proxies().contains(client.address()), "{name}: {value}");
        assert!(client.doubt().is_some());
    }
}

#[test]
fn two_headers_have_to_agree() {
    let both = |forwarded, older| seen("10.0.0.1", &[("forwarded", forwarded), ("x-forwarded-for", older)]);
    assert_eq!(both("for=192.0.2.1", "203.0.113.5, 192.0.2.1").unwrap().proven(), Some(ip("192.0.2.1")));
    assert_eq!(both("for=127.0.0.1", "192.0.2.1"), Err(Conflict));
    assert_eq!(both("for=192.0.2.1", "127.0.0.1"), Err(Conflict));
}

fn outside() -> impl Strategy<Value = IpAddr> {
    let any = prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::from(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::from(Ipv6Addr::from_bits(bits))),
    ];
    any.prop_map(|address| address.to_canonical())
        .prop_filter("an address that is no proxy's", |address| !proxies().contains(*address))
}

/// Header values: any bytes, and texts that look like the real thing.
fn sent() -> impl Strategy<Value = Vec<u8>> {
    let possible = any::<u8>().prop_map(|byte| if byte < 32 || byte == 127 { b'x' } else { byte });
    prop_oneof![
        prop::collection::vec(possible, 0..60),
        r#"[a-z0-9=,;:." \\\[\]]{0,60}"#.prop_map(String::into_bytes),
        r#"(for=|for="|;|,|"|\\|127\.0\.0\.1|10\.0\.0\.7|by=x){0,8}"#.prop_map(String::into_bytes),
    ]
}

/// What a proxy passes on that appends to the line that it has received.
fn appended(name: HeaderName, sent: &[u8], own: &str) -> HeaderMap {
    let line = if sent.is_empty() { own.into() } else { [sent, b", ", own.as_bytes()].concat() };
    HeaderMap::from_iter([(name, HeaderValue::from_bytes(&line).unwrap())])
}

fn written(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("for={address}"),
        IpAddr::V6(address) => format!("for=\"[{address}]\""),
    }
}

proptest! {
    #[test]
    fn no_header_makes_it_fail(name in prop::sample::select(SIGNS_OF_A_PROXY.to_vec()), bytes in sent()) {
        let lines = HeaderMap::from_iter([(name, HeaderValue::from_bytes(&bytes).unwrap())]);
        let _ = Client::of(Ipv4Addr::LOCALHOST.into(), &lines, &proxies());
    }

    /// Whatever a client sends, the address that the proxy adds is the client's.
    #[test]
    fn nothing_before_the_proxys_own_entry_counts(client in outside(), bytes in sent()) {
        let lines = appended(FORWARDED_FOR, &bytes, &client.to_string());
        let found = Client::of(Ipv4Addr::LOCALHOST.into(), &lines, &proxies()).unwrap();
        prop_assert_eq!(found.proven(), Some(client));
    }

    /// A quote that the client opens can hide the proxy's entry, and never put another in its place.
    #[test]
    fn a_client_can_hide_and_not_pretend(client in outside(), bytes in sent()) {
        let lines = appended(header::FORWARDED, &bytes, &written(client));
        let found = Client::of(Ipv4Addr::LOCALHOST.into(), &lines, &proxies()).unwrap();
        prop_assert!(found.proven().is_none() || found.proven() == Some(client), "{:?}", found);
        let honest = appended(header::FORWARDED, b"", &written(client));
        let found = Client::of(Ipv4Addr::LOCALHOST.into(), &honest, &proxies()).unwrap();
        prop_assert_eq!(found.proven(), Some(client));
    }

    #[test]
    fn a_chain_of_proxies_leads_to_the_client(client in outside(), others in prop::collection::vec(0..255u8, 0..5)) {
        let mut list = vec![client.to_string()];
        list.extend(others.iter().map(|last| format!("10.0.0.{last}")));
        let lines = headers(&[("x-forwarded-for", &list.join(", "))]);
        let found = Client::of(ip("10.0.0.1"), &lines, &proxies()).unwrap();
        prop_assert_eq!(found.proven(), Some(client));
    }
}
