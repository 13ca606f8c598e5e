//! Addresses that are not public, by the registries of special-purpose addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The kind of an address that is not public. Of IPv6 only global unicast is public: that excludes addresses with
/// an embedded IPv4 address (mapped, compatible, NAT64), unique local, link-local and multicast addresses.
pub fn special_purpose(address: IpAddr) -> Option<&'static str> {
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

    proptest! {
        /// Addresses that the standard library knows as special are refused, in each of their embedded forms.
        #[test]
        fn special_addresses_are_refused(bits: u32, low in 0_usize..12, rest: u128) {
            // Chance alone seldom meets the small networks.
            let seeds = [0x7f00_0000, 0x0a00_0000, 0xac10_0000, 0xc0a8_0000, 0xa9fe_0000, 0xe000_0000,
                0xffff_ffff, 0, 0xc000_0200, 0xc633_6400, 0xcb00_7100, bits];
            let v4 = Ipv4Addr::from_bits(seeds[low] | (bits & 0xff));
            let special = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_multicast()
                || v4.is_broadcast() || v4.is_documentation() || v4.is_unspecified();
            prop_assert!(!special || special_purpose(v4.into()).is_some(), "{v4}");
            let nat64 = Ipv6Addr::from_bits((0x64_ff9b << 96) | u128::from(v4.to_bits()));
            let compatible = Ipv6Addr::from_bits(v4.to_bits().into());
            for disguised in [v4.to_ipv6_mapped(), compatible, nat64] {
                prop_assert!(special_purpose(disguised.into()).is_some(), "{disguised}");
            }
            let v6 = Ipv6Addr::from_bits(rest);
            let special = v6.is_loopback() || v6.is_multicast() || v6.is_unspecified()
                || v6.is_unique_local() || v6.is_unicast_link_local() || v6.to_ipv4().is_some();
            prop_assert!(!special || special_purpose(v6.into()).is_some(), "{v6}");
        }
    }

    #[test]
    fn networks_are_refused_from_their_first_address_to_their_last_and_no_further() {
        let is_special = |text: &&str| special_purpose(text.parse().expect(text)).is_some();
        let refused = [
            "0.255.255.255",
            "10.0.0.0",
            "10.255.255.255",
            "100.64.0.0",
            "100.127.255.255",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.0",
            "172.31.255.255",
            "192.0.0.255",
            "192.0.2.1",
            "192.31.196.1",
            "192.88.99.1",
            "192.168.0.0",
            "192.168.255.255",
            "198.18.0.0",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.0",
            "255.255.255.255",
            "::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "64:ff9b::a00:1",
            "2001::1",
            "2001:1ff::1",
            "2001:db8::1",
            "2002::1",
            "2620:4f:8000::1",
            "3fff::1",
            "3fff:fff::1",
        ];
        let public = [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.31.197.0",
            "192.88.98.255",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.101.0",
            "203.0.112.255",
            "223.255.255.255",
            "2001:200::1",
            "2001:db9::1",
            "2003::1",
            "2606:4700::1111",
            "2620:4f:8001::1",
            "3fff:1000::1",
        ];
        let wrongly = |addresses: &[&'static str], special: bool| -> Vec<&'static str> {
            addresses.iter().filter(|address| is_special(address) != special).copied().collect()
        };
        assert_eq!(wrongly(&refused, true), [""; 0]);
        assert_eq!(wrongly(&public, false), [""; 0]);
    }
}
