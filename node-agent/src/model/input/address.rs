//! Addresses, CIDRs and ports as Kubernetes reads them.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// Reads an address "sloppily", as Kubernetes' `ParseIPSloppy` does: leading zeros of an IPv4 octet are ignored (it is
/// decimal), and an IPv4-mapped IPv6 address is the IPv4 address. The unspecified address is none: no client connects
/// to it, and in a service key it means NodePort.
pub(super) fn address(text: &str) -> Option<IpAddr> {
    let addr = text
        .parse::<IpAddr>()
        .ok()
        .or_else(|| sloppy_v4(text).map(IpAddr::V4))?;
    let addr = addr.to_canonical();
    (!addr.is_unspecified()).then_some(addr)
}

/// Reads a CIDR, with [`address`]'s tolerance and surrounding white space; host bits are dropped. `0.0.0.0/0` is one.
pub(super) fn cidr(text: &str) -> Option<IpNet> {
    let (addr, len) = text.trim().split_once('/')?;
    let addr = addr
        .parse::<IpAddr>()
        .ok()
        .or_else(|| sloppy_v4(addr).map(IpAddr::V4))?;
    IpNet::new(addr, len.parse().ok()?).ok().map(|net| net.trunc())
}

/// A port number; 0 and what does not fit are none.
pub(super) fn port(number: i32) -> Option<u16> {
    u16::try_from(number).ok().filter(|&port| port != 0)
}

fn sloppy_v4(text: &str) -> Option<Ipv4Addr> {
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = part.trim_start_matches('0');
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    parts.next().is_none().then(|| octets.into())
}

#[cfg(test)]
mod tests {
    use super::{address, cidr, port};

    #[test]
    fn addresses_are_read_as_kubernetes_reads_them() {
        for (text, read) in [
            ("10.96.0.10", Some("10.96.0.10")),
            ("010.096.000.010", Some("10.96.0.10")),
            ("fd00::a", Some("fd00::a")),
            ("::ffff:192.0.2.1", Some("192.0.2.1")),
            ("0.0.0.0", None),
            ("::", None),
            ("10.96.0.256", None),
            ("10.96.0", None),
            ("10.96.0.1.2", None),
            ("10.96.0.0x1", None),
            ("lb.example.com", None),
            ("", None),
        ] {
            assert_eq!(address(text).map(|a| a.to_string()).as_deref(), read, "{text:?}");
        }
    }

    #[test]
    fn cidrs_may_have_white_space_and_host_bits() {
        for (text, read) in [
            (" 192.0.2.17/24 ", Some("192.0.2.0/24")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("fd00::1/64", Some("fd00::/64")),
            ("192.0.2.0/33", None),
            ("192.0.2.0", None),
        ] {
            assert_eq!(cidr(text).map(|n| n.to_string()).as_deref(), read, "{text:?}");
        }
    }

    #[test]
    fn a_port_is_1_to_65535() {
        assert_eq!(
            [-1, 0, 1, 65_535, 65_536].map(port),
            [None, None, Some(1), Some(65_535), None]
        );
    }
}
