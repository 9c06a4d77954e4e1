//! A programmed frontend in words: what `kpr service list` shows.

use std::net::{IpAddr, SocketAddr};

use kpr_abi::{BackendValue, Family, ServiceCount, ServiceKey, ServiceValue, TableSize, backend, service};
use serde::Serialize;

use crate::{datapath::Contents, model::Protocol};

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
    /// `namespace/name` of its Service, if the agent was asked; of a Pod with a hostPort, `namespace/pod/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Name of the Service's port, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port_name: Option<String>,
    /// What kind of frontend it is.
    pub service_type: &'static str,
    /// Traffic from outside uses only backends on this node.
    pub external_traffic_policy_local: bool,
    /// Traffic from this node and its pods uses only backends on this node.
    pub internal_traffic_policy_local: bool,
    /// Clients stick to their backend while they have been idle for less, in seconds; none: they don't.
    pub affinity_seconds: Option<u32>,
    /// Frontends of one service port have the same.
    #[serde(skip)]
    pub affinity_group: u32,
    /// Slots of its Maglev tables; none: backends are chosen by chance.
    pub maglev_table_size: Option<u32>,
    /// Who may connect, as CIDRs; empty: everyone.
    pub source_ranges: Vec<String>,
    /// The backends that may be chosen, by address.
    pub backends: Vec<Backend>,
    /// What it was asked and has answered; none: that is not counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<Counted>,
}

/// What the programs have counted of a frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Counted {
    /// Sockets that were led to a backend.
    pub sockets: u64,
    /// Flows that were, packet by packet.
    pub flows: u64,
    /// What came of these flows from clients.
    pub requests: Traffic,
    /// What came of them from backends.
    pub replies: Traffic,
}

/// Packets, and their bytes with IP headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}

impl From<ServiceCount> for Counted {
    fn from(count: ServiceCount) -> Self {
        let ServiceCount {
            flows,
            sockets,
            request_packets,
            request_bytes,
            reply_packets,
            reply_bytes,
        } = count;
        let traffic = |packets, bytes| Traffic { packets, bytes };
        Self {
            sockets,
            flows,
            requests: traffic(request_packets, request_bytes),
            replies: traffic(reply_packets, reply_bytes),
        }
    }
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
    /// "active", "terminating" or "gone".
    pub state: &'static str,
    /// Whether it is on this node.
    pub local: bool,
}

/// State of a backend that new flows come to.
pub(in crate::cli) const ACTIVE: &str = "active";

/// State of a backend that goes: what flows it has go on.
pub(in crate::cli) const TERMINATING: &str = "terminating";

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
            protocol: Protocol::name_of(key.proto),
            service: None,
            port_name: None,
            service_type: service_type(value.flags),
            external_traffic_policy_local: has(service::flags::EXTERNAL_LOCAL),
            internal_traffic_policy_local: has(service::flags::INTERNAL_LOCAL),
            affinity_seconds: (value.affinity_seconds > 0).then_some(value.affinity_seconds),
            affinity_group: value.affinity_group,
            maglev_table_size: TableSize::named_by(value.flags).map(TableSize::slots),
            source_ranges: source_ranges
                .into_iter()
                .map(|(addr, bits)| format!("{addr}/{bits}"))
                .collect(),
            backends,
            counted: None,
        }
    }
}

impl Entry {
    /// What the service port is called, as kube-proxy writes it, if it is known.
    pub(in crate::cli) fn name(&self) -> Option<String> {
        let service = self.service.as_ref()?;
        Some(match &self.port_name {
            Some(port) => format!("{service}:{port}"),
            None => service.clone(),
        })
    }
}

impl Backend {
    fn new<F: Family>(id: u32, value: &BackendValue<F::Addr>) -> Self {
        let has = |flag| value.flags & flag != 0;
        Self {
            address: SocketAddr::new(ip::<F>(value.addr), value.port.host()),
            protocol: Protocol::name_of(value.proto),
            id,
            state: state(value.flags),
            local: has(backend::flags::LOCAL),
        }
    }
}

/// State of a backend that no frontend leads to any more, until its id is free.
pub(in crate::cli) const GONE: &str = "gone";

/// In which state a backend of these flags is.
pub(in crate::cli) const fn state(flags: u8) -> &'static str {
    if flags & backend::flags::GONE != 0 {
        GONE
    } else if flags & backend::flags::TERMINATING != 0 {
        TERMINATING
    } else {
        ACTIVE
    }
}

pub(in crate::cli) fn ip<F: Family>(addr: F::Addr) -> IpAddr {
    let ip: F::Ip = addr.into();
    ip.into()
}

/// What kind of frontend one of these flags is.
pub(in crate::cli) fn service_type(flags: u32) -> &'static str {
    match flags & service::flags::KIND {
        service::flags::CLUSTER_IP => "ClusterIP",
        service::flags::NODE_PORT => "NodePort",
        service::flags::LOAD_BALANCER => "LoadBalancer",
        service::flags::EXTERNAL_IP => "ExternalIPs",
        service::flags::HOST_PORT => "HostPort",
        _ => "Unknown",
    }
}
