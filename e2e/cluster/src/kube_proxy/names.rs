//! Names of chains: hashes keep them unique within the lengths that netfilter allows (iptables 28, nftables 256).

use std::net::SocketAddr;

use ring::digest::{SHA256, digest};

use super::desired::ServicePort;

/// RFC 4648 §6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const IPTABLES_HASH: usize = 16;
const NFTABLES_HASH: usize = 8;

/// A chain of iptables that belongs to one port of a Service, such as `KUBE-SVC-…`.
pub fn iptables_chain(prefix: &str, port: &ServicePort) -> String {
    let hash = hash(&format!("{}{}", port.id(), port.protocol.as_str()), IPTABLES_HASH);
    format!("{prefix}{hash}")
}

/// The chain of iptables of one endpoint, `KUBE-SEP-…`.
pub fn iptables_endpoint(port: &ServicePort, endpoint: SocketAddr) -> String {
    let hash = hash(
        &format!("{}{}{endpoint}", port.id(), port.protocol.as_str()),
        IPTABLES_HASH,
    );
    format!("KUBE-SEP-{hash}")
}

/// A chain of nftables that belongs to one port of a Service, such as `service-…`.
pub fn nftables_chain(prefix: &str, port: &ServicePort) -> String {
    let name = nftables_name(port);
    format!("{prefix}{}-{name}", hash(&name, NFTABLES_HASH))
}

/// What the chain and the affinity set of one endpoint are called behind their prefixes, `endpoint-` and `affinity-`.
pub fn nftables_endpoint(prefix: &str, port: &ServicePort, endpoint: SocketAddr) -> String {
    // Colons may not be in names.
    let address = endpoint.ip().to_string().replace(':', ".");
    let name = format!("{}__{address}/{}", nftables_name(port), endpoint.port());
    format!("{prefix}{}-{name}", hash(&name, NFTABLES_HASH))
}

fn nftables_name(port: &ServicePort) -> String {
    let ServicePort {
        namespace,
        name,
        port_name,
        protocol,
        ..
    } = port;
    format!("{namespace}/{name}/{}/{port_name}", protocol.as_str())
}

/// The first characters of the text's SHA-256 in base 32.
fn hash(text: &str, length: usize) -> String {
    let digest = digest(&SHA256, text.as_bytes());
    let bits = digest
        .as_ref()
        .iter()
        .flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
    let bits: Vec<u8> = bits.take(length * 5).collect();
    bits.chunks(5)
        .map(|five| char::from(BASE32[usize::from(five.iter().fold(0, |number, bit| number << 1 | bit))]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_kube_proxy_gives() {
        let port = ServicePort::named("ns1", "svc1", "p80");
        let endpoint = "10.180.0.1:80".parse().unwrap();
        assert_eq!(iptables_chain("KUBE-SVC-", &port), "KUBE-SVC-XPGD46QRK7WJZT7O");
        assert_eq!(nftables_chain("service-", &port), "service-ULMVA6XW-ns1/svc1/tcp/p80");
        assert_eq!(
            nftables_endpoint("endpoint-", &port, endpoint),
            "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80"
        );
        assert_eq!(iptables_endpoint(&port, endpoint), "KUBE-SEP-SXIVWICOYRO3J4NJ");
    }

    #[test]
    fn an_ipv6_endpoint_has_dots_for_colons() {
        let port = ServicePort::named("ns1", "svc1", "p80");
        let name = nftables_endpoint("endpoint-", &port, "[fd00::1]:80".parse().unwrap());
        assert!(name.ends_with("-ns1/svc1/tcp/p80__fd00..1/80"), "{name}");
    }
}
