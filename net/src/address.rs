//! Which addresses belong to the public internet.
//!
//! The rule is an allow-list for IPv6 (global unicast less its special blocks) and a deny-list for
//! IPv4 (the IANA special-purpose registry). Addresses that carry an IPv4 address inside (mapped,
//! NAT64) are judged by what they carry; 6to4 and Teredo are refused whole.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Why an address is out of bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reserved {
    /// "This network", 0.0.0.0/8 and `::`: many systems take it for the machine itself.
    Unspecified,
    /// The machine itself.
    Loopback,
    /// RFC 1918, and unique local addresses of IPv6.
    Private,
    /// RFC 6598, behind a carrier's translator; some clouds keep services there.
    Shared,
    /// RFC 3927 and fe80::/10; most clouds keep their metadata service there.
    LinkLocal,
    /// A cloud's metadata service on an address that looks public.
    Metadata,
    /// More than one receiver.
    Multicast,
    /// Documentation, benchmarks, protocol assignments, the future.
    Special,
    /// 6to4 and Teredo: a tunnel to an IPv4 address of the writer's choice.
    Tunnel,
}

impl fmt::Display for Reserved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "a loopback address",
            Self::Private => "a private address",
            Self::Shared => "a carrier's shared address",
            Self::LinkLocal => "a link-local address",
            Self::Metadata => "a cloud's metadata address",
            Self::Multicast => "a multicast or broadcast address",
            Self::Special => "an address reserved for special purposes",
            Self::Tunnel => "a tunnel address",
        })
    }
}

/// The reason why `address` is not part of the public internet; `None` if it is.
#[must_use]
pub fn reserved(address: IpAddr) -> Option<Reserved> {
    match address {
        IpAddr::V4(v4) => reserved_v4(v4),
        IpAddr::V6(v6) => reserved_v6(v6),
    }
}

fn reserved_v4(address: Ipv4Addr) -> Option<Reserved> {
    let [a, b, c, d] = address.octets();
    match (a, b, c, d) {
        (0, ..) => Some(Reserved::Unspecified),
        (127, ..) => Some(Reserved::Loopback),
        (10, ..) | (172, 16..=31, ..) | (192, 168, ..) => Some(Reserved::Private),
        (100, 64..=127, ..) => Some(Reserved::Shared),
        (169, 254, ..) => Some(Reserved::LinkLocal),
        (168, 63, 129, 16) => Some(Reserved::Metadata),
        (192, 0, 0 | 2, _)
        | (192, 88, 99, _)
        | (198, 18..=19, ..)
        | (198, 51, 100, _)
        | (203, 0, 113, _) => Some(Reserved::Special),
        (224..=239, ..) | (255, 255, 255, 255) => Some(Reserved::Multicast),
        (240.., ..) => Some(Reserved::Special),
        _ => None,
    }
}

fn reserved_v6(address: Ipv6Addr) -> Option<Reserved> {
    if let Some(v4) = carried_v4(address) {
        return reserved_v4(v4);
    }
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => Some(Reserved::Unspecified),
        [0, 0, 0, 0, 0, 0, 0, 1] => Some(Reserved::Loopback),
        [0xfc00..=0xfdff, ..] => Some(Reserved::Private),
        [0xfe80..=0xfeff, ..] => Some(Reserved::LinkLocal),
        [0xff00..=0xffff, ..] => Some(Reserved::Multicast),
        [0x2002, ..] | [0x2001, 0, ..] => Some(Reserved::Tunnel),
        [0x2001, 0x0001..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => {
            Some(Reserved::Special)
        }
        [0x2000..=0x3fff, ..] => None,
        _ => Some(Reserved::Special),
    }
}

/// The IPv4 address that the network will really be asked for: `::ffff:0:0/96`, and the
/// well-known NAT64 prefix `64:ff9b::/96`, through which a network without IPv4 reaches the rest.
fn carried_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Option<Reserved> {
        reserved(text.parse().unwrap())
    }

    #[test]
    fn public_addresses_pass() {
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "192.169.0.0",
            "223.255.255.255",
            "2606:4700:4700::1111",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert_eq!(judge(text), None, "{text}");
        }
    }

    #[test]
    fn everything_else_is_named() {
        for (text, reason) in [
            ("0.0.0.0", Reserved::Unspecified),
            ("0.255.255.255", Reserved::Unspecified),
            ("127.0.0.1", Reserved::Loopback),
            ("127.255.255.255", Reserved::Loopback),
            ("10.255.255.255", Reserved::Private),
            ("172.16.0.0", Reserved::Private),
            ("172.31.255.255", Reserved::Private),
            ("192.168.0.0", Reserved::Private),
            ("100.64.0.0", Reserved::Shared),
            ("100.100.100.200", Reserved::Shared),
            ("169.254.169.254", Reserved::LinkLocal),
            ("168.63.129.16", Reserved::Metadata),
            ("192.0.0.8", Reserved::Special),
            ("192.0.2.1", Reserved::Special),
            ("192.88.99.1", Reserved::Special),
            ("198.19.255.255", Reserved::Special),
            ("198.51.100.1", Reserved::Special),
            ("203.0.113.1", Reserved::Special),
            ("224.0.0.1", Reserved::Multicast),
            ("255.255.255.255", Reserved::Multicast),
            ("240.0.0.1", Reserved::Special),
            ("::", Reserved::Unspecified),
            ("::1", Reserved::Loopback),
            ("::127.0.0.1", Reserved::Special),
            ("::ffff:127.0.0.1", Reserved::Loopback),
            ("::ffff:0:127.0.0.1", Reserved::Special),
            ("64:ff9b::7f00:1", Reserved::Loopback),
            ("64:ff9b::a9fe:a9fe", Reserved::LinkLocal),
            ("64:ff9b:1::7f00:1", Reserved::Special),
            ("2002:7f00:1::", Reserved::Tunnel),
            ("2001::1", Reserved::Tunnel),
            ("2001:20::1", Reserved::Special),
            ("2001:db8::1", Reserved::Special),
            ("3fff::1", Reserved::Special),
            ("100::1", Reserved::Special),
            ("5f00::1", Reserved::Special),
            ("fc00::1", Reserved::Private),
            ("fd00:ec2::254", Reserved::Private),
            ("fe80::1", Reserved::LinkLocal),
            ("fec0::1", Reserved::LinkLocal),
            ("ff02::1", Reserved::Multicast),
        ] {
            assert_eq!(judge(text), Some(reason), "{text}");
        }
    }
}
