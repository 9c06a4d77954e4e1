//! A programmed frontend in words: what `kpr service list` shows.

use std::net::{IpAddr, SocketAddr};

use kpr_abi::{
    BackendValue, Family, ServiceKey, ServiceValue, backend,
    proto::{SCTP, TCP, UDP},
    service,
};
use serde::Serialize;

use crate::datapath::Contents;

/// A frontend and its backends, for people and for JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// "IPv4" or "IPv6".
    pub family: &'static str,
    /// Stable id of the frontend; each family counts for itself.
    pub id: u32,
    /// Address and port; the unspecified address stands for every address of the node.
    pub frontend: SocketAddr,
    /// "TCP", "UDP" or "SCTP".
    pub protocol: String,
    /// What kind of frontend it is.
    pub service_type: &'static str,
    /// Traffic from outside uses only backends on this node.
    pub external_traffic_policy_local: bool,
    /// Traffic from this node and its pods uses only backends on this node.
    pub internal_traffic_policy_local: bool,
    /// Who may connect, as CIDRs; empty: everyone.
    pub source_ranges: Vec<String>,
    /// The backends that may be chosen, by address.
    pub backends: Vec<Backend>,
}

/// A backend of a frontend.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Backend {
    /// Address and target port.
    pub address: SocketAddr,
    /// "TCP", "UDP" or "SCTP".
    pub protocol: String,
    /// Stable id of the backend; each family counts for itself.
    pub id: u32,
    /// "active" or "terminating".
    pub state: &'static str,
    /// Whether it is on this node.
    pub local: bool,
}

/// Everything that the tables of a family hold, by frontend id.
pub(super) fn entries<F: Family>(contents: &Contents<F>) -> Vec<Entry> {
    let mut entries: Vec<_> = contents
        .services
        .iter()
        .map(|(key, value)| Entry::new(contents, key, value))
        .collect();
    entries.sort_by_key(|entry| entry.id);
    entries
}

impl Entry {
    fn new<F: Family>(contents: &Contents<F>, key: &ServiceKey<F::Addr>, value: &ServiceValue) -> Self {
        let slots = [value.cluster, value.local]
            .into_iter()
            .flat_map(|slice| slice.base..slice.base.saturating_add(slice.len));
        let mut backends: Vec<_> = slots
            .filter_map(|slot| contents.slots.get(slot as usize))
            .filter_map(|id| Some(Backend::new::<F>(*id, contents.backends.get(id)?)))
            .collect();
        // The local ones are in both slices. Maglev tables stand behind them, and hold nothing else.
        backends.sort();
        backends.dedup();
        let has = |flag| value.flags & flag != 0;
        let ranges = contents
            .source_ranges
            .iter()
            .filter(|range| has(service::flags::SOURCE_RANGES) && range.service == value.id);
        let mut source_ranges: Vec<_> = ranges.map(|range| (ip::<F>(range.addr), range.bits)).collect();
        source_ranges.sort_unstable();
        Self {
            family: F::NAME,
            id: value.id,
            frontend: SocketAddr::new(ip::<F>(key.addr), key.port.host()),
            protocol: protocol(key.proto),
            service_type: service_type(value.flags),
            external_traffic_policy_local: has(service::flags::EXTERNAL_LOCAL),
            internal_traffic_policy_local: has(service::flags::INTERNAL_LOCAL),
            source_ranges: source_ranges
                .into_iter()
                .map(|(addr, bits)| format!("{addr}/{bits}"))
                .collect(),
            backends,
        }
    }
}

impl Backend {
    fn new<F: Family>(id: u32, value: &BackendValue<F::Addr>) -> Self {
        let has = |flag| value.flags & flag != 0;
        Self {
            address: SocketAddr::new(ip::<F>(value.addr), value.port.host()),
            protocol: protocol(value.proto),
            id,
            state: if has(backend::flags::TERMINATING) {
                "terminating"
            } else {
                "active"
            },
            local: has(backend::flags::LOCAL),
        }
    }
}

fn ip<F: Family>(addr: F::Addr) -> IpAddr {
    let ip: F::Ip = addr.into();
    ip.into()
}

fn protocol(number: u8) -> String {
    match number {
        TCP => "TCP".to_owned(),
        UDP => "UDP".to_owned(),
        SCTP => "SCTP".to_owned(),
        other => other.to_string(),
    }
}

fn service_type(flags: u32) -> &'static str {
    match flags & service::flags::KIND {
        service::flags::CLUSTER_IP => "ClusterIP",
        service::flags::NODE_PORT => "NodePort",
        service::flags::LOAD_BALANCER => "LoadBalancer",
        service::flags::EXTERNAL_IP => "ExternalIPs",
        service::flags::HOST_PORT => "HostPort",
        _ => "Unknown",
    }
}
