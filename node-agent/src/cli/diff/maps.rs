//! What kpr's maps hold, to be compared.

use std::net::SocketAddr;

use ipnet::IpNet;
use kpr_abi::{Family, ServiceKey, ServiceValue, Slice, service::flags};

use super::frontend::{Affinity, Backends, Frontend, Frontends, Key, Policy, Refusal, Sources};
use crate::{
    cli::service::entry::ip,
    datapath::Contents,
    model::{Kind, Protocol},
};

/// Adds the frontends of a family. Returns how many hostPorts were left out: they are none of kube-proxy's.
pub(super) fn add_to<F: Family>(contents: &Contents<F>, frontends: &mut Frontends) -> usize {
    let mut host_ports = 0;
    for (key, value) in &contents.services {
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| value.flags & flags::KIND == kind.flag());
        if kind == Some(Kind::HostPort) {
            host_ports += 1;
        } else if let Some(key) = self::key::<F>(key) {
            frontends.insert(key, frontend(contents, &key, value, kind));
        }
    }
    host_ports
}

fn key<F: Family>(key: &ServiceKey<F::Addr>) -> Option<Key> {
    Some(Key {
        address: SocketAddr::new(ip::<F>(key.addr), key.port.host()),
        protocol: Protocol::of_number(key.proto)?,
    })
}

fn frontend<F: Family>(contents: &Contents<F>, key: &Key, value: &ServiceValue, kind: Option<Kind>) -> Frontend {
    let has = |flag| value.flags & flag != 0;
    let is_external = kind.is_none_or(Kind::is_external);
    let is_local = has(if is_external {
        flags::EXTERNAL_LOCAL
    } else {
        flags::INTERNAL_LOCAL
    });
    let backends = self::backends(contents, if is_local { value.local } else { value.cluster });
    let ranges = contents
        .source_ranges
        .iter()
        .filter(|range| has(flags::SOURCE_RANGES) && range.service == value.id)
        .filter_map(|range| IpNet::new(ip::<F>(range.addr), range.bits).ok());
    Frontend {
        name: None,
        kind,
        refusal: backends.is_empty().then(|| {
            if is_local && has(flags::HAS_ENDPOINTS) {
                Refusal::Drop
            } else {
                Refusal::Reject
            }
        }),
        backends,
        policy: Some(if is_local { Policy::Local } else { Policy::Cluster }),
        from_node: (is_external && is_local).then(|| self::backends(contents, value.cluster)),
        affinity: Some(match value.affinity_seconds {
            0 => Affinity::None,
            seconds => Affinity::Seconds(seconds),
        }),
        sources: Some(Sources::of(ranges, key.address.ip())),
    }
}

fn backends<F: Family>(contents: &Contents<F>, slice: Slice) -> Backends {
    let slots = slice.base..slice.base.saturating_add(slice.len);
    let ids = slots.filter_map(|slot| contents.slots.get(slot as usize));
    ids.filter_map(|id| contents.backends.get(id))
        .map(|backend| SocketAddr::new(ip::<F>(backend.addr), backend.port.host()))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, net::Ipv4Addr};

    use kpr_abi::{Addr4, BackendValue, Be16, V4, proto};

    use super::*;
    use crate::plan::AdmittedRange;

    /// A frontend at this port of every address, and its value: the cluster's backends are 1 and 2, this node's is 1.
    fn frontend(port: u16, flags: u32) -> (ServiceKey<Addr4>, ServiceValue) {
        let key = ServiceKey::new(Ipv4Addr::UNSPECIFIED.into(), Be16::new(port), proto::TCP);
        let value = ServiceValue {
            id: port.into(),
            flags,
            cluster: Slice { base: 0, len: 2 },
            local: Slice { base: 0, len: 1 },
            ..ServiceValue::default()
        };
        (key, value)
    }

    fn node(services: Vec<(ServiceKey<Addr4>, ServiceValue)>) -> Contents<V4> {
        let backend = |last| BackendValue {
            addr: Ipv4Addr::new(10, 244, 0, last).into(),
            port: Be16::new(80),
            proto: proto::TCP,
            flags: 0,
        };
        Contents {
            services,
            slots: vec![1, 2],
            backends: BTreeMap::from([(1, backend(1)), (2, backend(2))]),
            source_ranges: vec![AdmittedRange {
                service: 7,
                addr: Ipv4Addr::new(192, 0, 2, 0).into(),
                bits: 24,
            }],
        }
    }

    fn of(port: u16, flags: u32) -> Frontend {
        let mut frontends = Frontends::new();
        add_to(&node(vec![frontend(port, flags)]), &mut frontends);
        let (_key, frontend) = frontends.pop_first().unwrap();
        frontend
    }

    fn backends(last: &[u8]) -> Backends {
        last.iter()
            .map(|&last| SocketAddr::from(([10, 244, 0, last], 80)))
            .collect()
    }

    #[test]
    fn each_kind_follows_its_own_policy() {
        let node_port = of(1, flags::NODE_PORT | flags::EXTERNAL_LOCAL);
        assert_eq!(
            (node_port.policy, node_port.backends),
            (Some(Policy::Local), backends(&[1]))
        );
        assert_eq!(node_port.from_node, Some(backends(&[1, 2])), "the node and its pods");
        let cluster_ip = of(1, flags::CLUSTER_IP | flags::INTERNAL_LOCAL);
        assert_eq!(
            (cluster_ip.policy, cluster_ip.backends),
            (Some(Policy::Local), backends(&[1]))
        );
        assert_eq!(cluster_ip.from_node, None);
        let balanced = of(1, flags::LOAD_BALANCER);
        assert_eq!(
            (balanced.policy, balanced.backends),
            (Some(Policy::Cluster), backends(&[1, 2]))
        );
        assert_eq!(balanced.refusal, None);
    }

    #[test]
    fn only_who_asks_for_source_ranges_has_them() {
        let range = "192.0.2.0/24".parse().unwrap();
        let ranges = |flags| of(7, flags::LOAD_BALANCER | flags).sources.unwrap().ranges().to_vec();
        assert_eq!(ranges(flags::SOURCE_RANGES), [range]);
        assert_eq!(ranges(0), []);
    }

    #[test]
    fn clients_without_a_backend_are_dropped_only_where_others_have_one() {
        let refusal = |policy| {
            let (key, value) = frontend(1, flags::NODE_PORT | policy);
            let value = ServiceValue {
                cluster: Slice::default(),
                local: Slice::default(),
                ..value
            };
            let mut frontends = Frontends::new();
            add_to(&node(vec![(key, value)]), &mut frontends);
            frontends.pop_first().unwrap().1.refusal
        };
        let local = flags::EXTERNAL_LOCAL | flags::HAS_ENDPOINTS;
        assert_eq!(refusal(local), Some(Refusal::Drop));
        assert_eq!(refusal(flags::EXTERNAL_LOCAL), Some(Refusal::Reject));
        assert_eq!(refusal(0), Some(Refusal::Reject));
    }

    #[test]
    fn host_ports_are_left_out_and_counted() {
        let mut frontends = Frontends::new();
        let both = vec![frontend(1, flags::NODE_PORT), frontend(2, flags::HOST_PORT)];
        assert_eq!(add_to(&node(both), &mut frontends), 1);
        assert_eq!(frontends.len(), 1);
    }
}
