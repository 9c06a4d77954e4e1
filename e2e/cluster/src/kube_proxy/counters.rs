//! How many connections the rules have led: netfilter's own packet counters, of which a connection's first packet alone counts.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context as _, Result};
use serde_json::Value;

/// A way to a port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Destination {
    /// `namespace/name:port`.
    pub service: String,
    /// A ClusterIP, an external IP or a load balancer's address; none: a NodePort.
    pub address: Option<IpAddr>,
}

/// First packets by destination.
pub type Hits = BTreeMap<Destination, u64>;

/// Of the output of `iptables-save --counters --table nat`.
pub(super) fn of_iptables(saved: &str) -> Hits {
    let mut hits = Hits::new();
    for line in saved.lines() {
        if let Some((destination, packets)) = rule(line) {
            *hits.entry(destination).or_default() += packets;
        }
    }
    hits
}

fn rule(line: &str) -> Option<(Destination, u64)> {
    let (packets, rule) = line.strip_prefix('[')?.split_once(':')?;
    let (_bytes, rule) = rule.split_once("] -A ")?;
    let (chain, rule) = rule.split_once(' ')?;
    let (_, comment) = rule.split_once("--comment ")?;
    let comment = match comment.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => comment.split(' ').next()?,
    };
    let address = match chain {
        "KUBE-NODEPORTS" => None,
        "KUBE-SERVICES" => Some(rule.strip_prefix("-d ")?.split('/').next()?.parse().ok()?),
        _ => return None,
    };
    let service = comment.split(' ').next()?.to_owned();
    Some((Destination { service, address }, packets.parse().ok()?))
}

/// Of the output of `nft --json list map …` of one of the maps that lead to Services.
pub(super) fn of_nftables(listed: &str) -> Result<Hits> {
    let listed: Value = serde_json::from_str(listed).context("nft printed no JSON")?;
    let mut hits = Hits::new();
    let maps = listed["nftables"].as_array().into_iter().flatten();
    for map in maps.filter_map(|object| object.get("map")) {
        for element in map["elem"].as_array().into_iter().flatten() {
            let (key, target) = (&element[0]["elem"], element[1]["goto"]["target"].as_str());
            let packets = key["counter"]["packets"].as_u64();
            let (Some(packets), Some(service)) = (packets, target.and_then(service)) else {
                continue;
            };
            // The key of a map of NodePorts begins with the protocol.
            let address = key["val"]["concat"][0].as_str().and_then(|first| first.parse().ok());
            *hits.entry(Destination { service, address }).or_default() += packets;
        }
    }
    Ok(hits)
}

/// From a chain such as `external-ULMVA6XW-ns1/svc1/tcp/p80`.
fn service(target: &str) -> Option<String> {
    let (_prefix, rest) = target.split_once('-')?;
    let (_hash, name) = rest.split_once('-')?;
    let mut parts = name.split('/');
    let (namespace, name, _protocol, port) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let colon = if port.is_empty() { "" } else { ":" };
    Some(format!("{namespace}/{name}{colon}{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(of: &[(&str, Option<&str>, u64)]) -> Hits {
        let entries = of.iter().map(|(service, address, packets)| {
            let destination = Destination {
                service: (*service).to_owned(),
                address: address.map(|address| address.parse().unwrap()),
            };
            (destination, *packets)
        });
        entries.collect()
    }

    #[test]
    fn rules_of_iptables_say_what_they_count() {
        let saved = "*nat\n\
             :KUBE-SERVICES - [0:0]\n\
             [7:420] -A KUBE-SERVICES -d 10.96.0.20/32 -p tcp -m comment --comment \"default/web:http cluster IP\" -m tcp --dport 80 -j KUBE-SVC-A\n\
             [2:120] -A KUBE-SERVICES -d 203.0.113.250/32 -p tcp -m comment --comment \"default/web:http external IP\" -m tcp --dport 80 -j KUBE-EXT-A\n\
             [5:300] -A KUBE-SERVICES -m comment --comment \"kubernetes service nodeports; NOTE: …\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\n\
             [9:540] -A KUBE-NODEPORTS -p udp -m comment --comment \"default/web:echo\" -m udp --dport 30053 -j KUBE-EXT-B\n\
             [4:240] -A KUBE-NODEPORTS -p udp -m comment --comment default/plain -m udp --dport 30054 -j KUBE-EXT-C\n\
             [8:480] -A KUBE-SVC-A -m comment --comment \"default/web:http -> 10.244.0.2:80\" -j KUBE-SEP-A\n";
        let expected = hits(&[
            ("default/plain", None, 4),
            ("default/web:echo", None, 9),
            ("default/web:http", Some("10.96.0.20"), 7),
            ("default/web:http", Some("203.0.113.250"), 2),
        ]);
        assert_eq!(of_iptables(saved), expected);
    }

    #[test]
    fn elements_of_nftables_say_what_they_count() {
        let listed = r#"{"nftables": [{"metainfo": {}}, {"map": {"family": "ip", "name": "service-ips", "elem": [
            [{"elem": {"val": {"concat": ["10.96.0.20", "tcp", 80]}, "counter": {"packets": 7, "bytes": 420}}},
             {"goto": {"target": "service-ULMVA6XW-default/web/tcp/http"}}],
            [{"elem": {"val": {"concat": ["tcp", 30080]}, "counter": {"packets": 2, "bytes": 120}}},
             {"goto": {"target": "external-ULMVA6XW-default/web/tcp/http"}}]]}}]}"#;
        let expected = hits(&[
            ("default/web:http", None, 2),
            ("default/web:http", Some("10.96.0.20"), 7),
        ]);
        assert_eq!(of_nftables(listed).unwrap(), expected);
    }
}
