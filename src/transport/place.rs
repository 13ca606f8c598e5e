//! Whether a host is on this machine, on a private network or elsewhere, by its name or address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The network between this machine and a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostPlace {
    /// The host is this machine.
    ThisMachine,
    /// An address, or a name, that is not reachable from the Internet.
    PrivateNetwork,
    Internet,
}

/// The place of a URL's host: a name, an IPv4 address, or an IPv6 address with or without brackets.
///
/// Names are not resolved: DNS can return something else for the connection than for the check, and a check of the
/// configuration would depend on the network. So `localhost` is the only name of this machine.
pub fn place(host: &str) -> HostPlace {
    let host = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => v4(address),
        Ok(IpAddr::V6(address)) => address.to_ipv4_mapped().map_or_else(|| v6(address), v4),
        Err(_) => name(&host.trim_end_matches('.').to_ascii_lowercase()),
    }
}

fn v4(address: Ipv4Addr) -> HostPlace {
    let [first, second, ..] = address.octets();
    // RFC 6598: carriers' networks.
    let shared = first == 100 && (64..128).contains(&second);
    if address.is_loopback() {
        HostPlace::ThisMachine
    } else if address.is_private() || address.is_link_local() || shared {
        HostPlace::PrivateNetwork
    } else {
        HostPlace::Internet
    }
}

fn v6(address: Ipv6Addr) -> HostPlace {
    if address.is_loopback() {
        HostPlace::ThisMachine
    } else if address.is_unique_local() || address.is_unicast_link_local() {
        HostPlace::PrivateNetwork
    } else {
        HostPlace::Internet
    }
}

/// Names without a dot belong to a local network, as do those of RFC 6762, RFC 8375 and ICANN's `.internal`.
fn name(host: &str) -> HostPlace {
    const PRIVATE: [&str; 5] = [".local", ".internal", ".home.arpa", ".lan", ".localhost"];
    if host == "localhost" {
        HostPlace::ThisMachine
    } else if !host.contains('.') || PRIVATE.iter().any(|suffix| host.ends_with(suffix)) {
        HostPlace::PrivateNetwork
    } else {
        HostPlace::Internet
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn loopback_and_localhost_are_on_this_machine() {
        for host in ["localhost", "LocalHost.", "127.0.0.1", "127.8.9.10", "::1", "[::1]", "::ffff:127.0.0.1"]
        {
            assert_eq!(place(host), HostPlace::ThisMachine, "{host}");
        }
    }

    #[test]
    fn private_addresses_and_local_names_are_on_a_private_network() {
        let hosts = [
            "10.0.0.5",
            "172.16.0.1",
            "192.168.1.2",
            "169.254.1.1",
            "100.64.0.1",
            "fd00::1",
            "[fe80::1]",
            "redis",
            "db.internal",
            "pbx.local",
            "nas.home.arpa",
            "x.localhost",
            "::ffff:10.0.0.1",
            "",
        ];
        for host in hosts {
            assert_eq!(place(host), HostPlace::PrivateNetwork, "{host}");
        }
    }

    #[test]
    fn everything_else_is_on_the_internet() {
        let hosts = [
            "192.0.2.1",
            "100.128.0.1",
            "172.32.0.1",
            "2001:db8::1",
            "example.com",
            "localhost.example.com",
            "127.1.example.com",
            "0.0.0.0",
            "::",
        ];
        for host in hosts {
            assert_eq!(place(host), HostPlace::Internet, "{host}");
        }
    }

    proptest! {
        /// A name of any kind but `localhost`, whatever it resolves to, is another machine's.
        #[test]
        fn no_other_name_is_on_this_machine(host in "[a-z0-9.-]{0,20}") {
            let expected = host.trim_end_matches('.') == "localhost"
                || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
            prop_assert_eq!(place(&host) == HostPlace::ThisMachine, expected);
        }

        #[test]
        fn any_text_has_a_place(host: String) {
            place(&host);
        }
    }
}
