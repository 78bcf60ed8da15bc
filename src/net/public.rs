//! Which hosts are of the open internet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether the address is of this link alone, where credentials are handed out.
pub(super) fn is_link_local(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local() || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    }
}

/// Whether the address belongs to the open internet.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match unmapped(address) {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            !(address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_documentation()
                || address.is_multicast()
                || a == 0
                || a >= 240
                // Azure's agent of the host, which hands out certificates.
                || address == Ipv4Addr::new(168, 63, 129, 16)
                // Carriers' own, benchmarks, protocol assignments.
                || (a == 100 && (64..128).contains(&b))
                || (a == 198 && (18..20).contains(&b))
                || (a == 192 && b == 0 && c == 0))
        }
        IpAddr::V6(address) => {
            let [first, second, third, fourth, ..] = address.segments();
            !(address.is_loopback()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                // Once private to a site.
                || first & 0xffc0 == 0xfec0
                // Examples, Teredo's tunnels, what is thrown away.
                || first == 0x2001 && matches!(second, 0 | 0xdb8)
                || (first, second, third, fourth) == (0x100, 0, 0, 0))
        }
    }
}

/// The IPv4 address inside an IPv6 one: mapped, translated (64:ff9b::/96), 6to4, compatible.
fn unmapped(address: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = address else { return address };
    let parts = v6.segments();
    let four = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // Networks' own translators.
        | [0x64, 0xff9b, 1, _, _, _, high, low] => four(high, low),
        [0, 0, 0, 0, 0, 0, high, low] if high != 0 => four(high, low),
        [0x2002, high, low, ..] => four(high, low),
        _ => address,
    }
}

/// Whether the name could be one of the open internet.
pub(crate) fn is_public_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    let inside = ["localhost", "local", "internal", "intranet", "lan", "home", "corp", "localdomain", "home.arpa"];
    name.contains('.') && !inside.iter().any(|end| name == *end || name.ends_with(&format!(".{end}")))
}
