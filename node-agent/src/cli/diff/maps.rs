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
    let protocols = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];
    Some(Key {
        address: SocketAddr::new(ip::<F>(key.addr), key.port.host()),
        protocol: protocols.into_iter().find(|protocol| protocol.number() == key.proto)?,
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
