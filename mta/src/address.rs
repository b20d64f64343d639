//! Addresses that mail is never sent to: ourselves, our network, and the cloud's metadata service.
//!
//! A domain's owner chooses what its MX points to, so without this check anyone could have us talk to what only we can
//! reach. The check is on the address that is connected to, after all resolving.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Returns whether an address is outside the public Internet: loopback, private, link-local (metadata), shared (CGNAT),
/// unique-local, unspecified, multicast, reserved or documentation, also when mapped or embedded in IPv6.
pub fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => v4(address),
        IpAddr::V6(address) => v6(address),
    }
}

fn v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 198 && (b == 18 || b == 19))
        // Azure's platform address: public in form, the host's own in fact.
        || address == Ipv4Addr::new(168, 63, 129, 16)
}

fn v6(address: Ipv6Addr) -> bool {
    let [first, second, third, ..] = address.segments();
    let embedded = match address.octets() {
        // Mapped (::ffff:a.b.c.d), compatible (::a.b.c.d), NAT64 (64:ff9b::a.b.c.d).
        [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, a, b, c, d]
        | [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
        | [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, a, b, c, d]
        // 6to4.
        | [0x20, 0x02, a, b, c, d, ..] => Some(Ipv4Addr::new(a, b, c, d)),
        _ => None,
    };
    address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || first & 0xfe00 == 0xfc00
        || first & 0xffc0 == 0xfe80
        || first & 0xffc0 == 0xfec0
        || (first == 0x2001 && second == 0x0db8)
        // NAT64 of a local network (RFC 8215): whatever IPv4 that network embeds there.
        || (first == 0x0064 && second == 0xff9b && third == 1)
        || embedded.is_some_and(v4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inside_is_forbidden() {
        for inside in [
            "127.0.0.1",
            "127.9.9.9",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "255.255.255.255",
            "224.0.0.1",
            "198.18.0.1",
            "192.0.0.1",
            "::1",
            "::",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "168.63.129.16",
            "2002:7f00:1::1",
            "2001:db8::1",
        ] {
            assert!(is_forbidden(inside.parse().unwrap()), "{inside}");
        }
    }

    #[test]
    fn the_public_internet_is_not() {
        for public in [
            "8.8.8.8",
            "172.15.0.1",
            "172.32.0.1",
            "100.63.0.1",
            "100.128.0.1",
            "192.0.1.1",
            "2a00:1450::1",
            "::ffff:8.8.8.8",
            "2606:4700::1111",
        ] {
            assert!(!is_forbidden(public.parse().unwrap()), "{public}");
        }
    }
}
