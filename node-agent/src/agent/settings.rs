//! From the configuration that the operator wrote to what the datapath is started with.

use kpr_abi::TableSize;
use kpr_crds::{Algorithm, ForwardingMode, LoadBalancer, NodeDatapathSpec, PortRangeError, Services};

use crate::{
    datapath::{Dsr, DsrDispatch, PortRange, Settings, Sizes, SocketLb},
    model::{Capabilities, Kinds},
};

/// What this version's datapath enforces. The model leaves out, and reports, what needs more.
pub const CAPABILITIES: Capabilities = Capabilities {
    sctp: true,
    source_ranges: true,
    session_affinity: true,
};

/// Why a configuration is not taken; the one before stays in force.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A port range cannot be read.
    #[error("spec.{field}: {source}")]
    Ports {
        /// Path of the field.
        field: &'static str,
        /// What is wrong with it.
        source: PortRangeError,
    },
    /// A Maglev table can't have this size.
    #[error("spec.loadBalancer.maglevTableSize {slots} is not one of {}", sizes_in_words())]
    TableSize {
        /// What was asked for.
        slots: u32,
    },
}

/// What the datapath is started with. `memory_bytes`: the machine's memory, which map sizes follow.
pub(super) fn settings(spec: &NodeDatapathSpec, memory_bytes: u64) -> Result<Settings, ConfigError> {
    maglev(&spec.load_balancer)?;
    let ports = |field, range: Result<kpr_crds::PortRange, PortRangeError>| match range {
        Ok(range) => Ok(PortRange {
            min: range.first(),
            max: range.last(),
        }),
        Err(source) => Err(ConfigError::Ports { field, source }),
    };
    Ok(Settings {
        node_ports: ports("nodePort.range", spec.node_port.port_range())?,
        snat_ports: ports("loadBalancer.snatPorts", spec.load_balancer.snat_port_range())?,
        socket_lb: socket_lb(spec),
        bind_protection: spec.node_port.bind_protection,
        dsr: match spec.load_balancer.mode {
            ForwardingMode::Snat => Dsr::Off,
            ForwardingMode::Hybrid => Dsr::Tcp,
            ForwardingMode::Dsr => Dsr::All,
        },
        dsr_dispatch: match spec.load_balancer.dsr_dispatch {
            kpr_crds::DsrDispatch::Geneve => DsrDispatch::Geneve,
            kpr_crds::DsrDispatch::Ipip => DsrDispatch::Ipip,
        },
        least_connections: spec.load_balancer.algorithm == Algorithm::LeastConnections,
        count_services: spec.metrics.per_service.enabled,
        // Whoever listens comes and goes.
        events: None,
        sizes: sizes(spec, memory_bytes),
    })
}

/// The size of Maglev tables, if backends are chosen by them.
pub(super) fn maglev(lb: &LoadBalancer) -> Result<Option<TableSize>, ConfigError> {
    let slots = lb.maglev_table_size;
    match lb.algorithm {
        Algorithm::Random | Algorithm::LeastConnections => Ok(None),
        Algorithm::Maglev => TableSize::of(slots).map(Some).ok_or(ConfigError::TableSize { slots }),
    }
}

fn sizes_in_words() -> String {
    TableSize::ALL.map(|size| size.slots().to_string()).join(", ")
}

fn socket_lb(spec: &NodeDatapathSpec) -> SocketLb {
    let wanted = &spec.socket_lb;
    match (wanted.enabled, wanted.host_namespace_only) {
        (false, _) => SocketLb::Off,
        (true, true) => SocketLb::HostNamespaceOnly,
        (true, false) => SocketLb::All,
    }
}

/// The kinds of frontends that are served.
pub(super) fn kinds(services: Services) -> Kinds {
    Kinds {
        cluster_ip: services.cluster_ip,
        node_port: services.node_port,
        load_balancer: services.load_balancer,
        external_ips: services.external_ips,
        host_port: services.host_port,
    }
}

fn sizes(spec: &NodeDatapathSpec, memory_bytes: u64) -> Sizes {
    let maps = &spec.maps;
    let dynamic = Sizes::dynamic(memory_bytes, maps.dynamic_size_ratio);
    Sizes {
        services: maps.services.unwrap_or(dynamic.services),
        slots: maps.slots.unwrap_or(dynamic.slots),
        backends: maps.backends.unwrap_or(dynamic.backends),
        flows: maps.flows.unwrap_or(dynamic.flows),
        peers: maps.peers.unwrap_or(dynamic.peers),
        affinity: maps.affinity.unwrap_or(dynamic.affinity),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    #[test]
    fn the_defaults_are_served() {
        let settings = settings(&NodeDatapathSpec::default(), 16 * GIB).unwrap();
        assert_eq!((settings.node_ports.min, settings.node_ports.max), (30_000, 32_767));
        assert_eq!((settings.snat_ports.min, settings.snat_ports.max), (45_000, 65_535));
        assert_eq!(settings.sizes, Sizes::dynamic(16 * GIB, 0.0025));
    }

    #[test]
    fn explicit_sizes_win_over_the_ratio() {
        let mut spec = NodeDatapathSpec::default();
        spec.maps.flows = Some(2048);
        let sizes = settings(&spec, GIB).unwrap().sizes;
        assert_eq!(sizes.flows, 2048);
        assert_eq!(sizes.peers, Sizes::dynamic(GIB, 0.0025).peers);
    }

    type Change = fn(&mut NodeDatapathSpec);

    #[test]
    fn sockets_are_balanced_for_all_for_the_host_or_for_nobody() {
        let table: [(Change, SocketLb); 3] = [
            (|_| {}, SocketLb::All),
            (|s| s.socket_lb.host_namespace_only = true, SocketLb::HostNamespaceOnly),
            (|s| s.socket_lb.enabled = false, SocketLb::Off),
        ];
        for (change, expected) in table {
            let mut spec = NodeDatapathSpec::default();
            spec.socket_lb.packet_fallback = true;
            change(&mut spec);
            assert_eq!(settings(&spec, GIB).unwrap().socket_lb, expected);
        }
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        let refuse = |change: fn(&mut NodeDatapathSpec)| {
            let mut spec = NodeDatapathSpec::default();
            change(&mut spec);
            settings(&spec, GIB).unwrap_err().to_string()
        };
        let table: [(Change, &str); 2] = [
            (
                |s| {
                    s.load_balancer.algorithm = Algorithm::Maglev;
                    s.load_balancer.maglev_table_size = 1000;
                },
                "spec.loadBalancer.maglevTableSize 1000 is not one of 251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131071",
            ),
            (
                |s| s.node_port.range = "32767-30000".into(),
                "spec.nodePort.range: port range 32767-30000 is reversed: the first port is above the last",
            ),
        ];
        for (change, message) in table {
            assert_eq!(refuse(change), message);
        }
    }

    #[test]
    fn the_mode_says_which_flows_get_dsr() {
        use kpr_crds::DsrDispatch as Wanted;
        for (mode, wanted, dsr, dispatch) in [
            (ForwardingMode::Snat, Wanted::Geneve, Dsr::Off, DsrDispatch::Geneve),
            (ForwardingMode::Hybrid, Wanted::Geneve, Dsr::Tcp, DsrDispatch::Geneve),
            (ForwardingMode::Dsr, Wanted::Ipip, Dsr::All, DsrDispatch::Ipip),
        ] {
            let mut spec = NodeDatapathSpec::default();
            spec.load_balancer.mode = mode;
            spec.load_balancer.dsr_dispatch = wanted;
            let settings = settings(&spec, GIB).unwrap();
            assert_eq!((settings.dsr, settings.dsr_dispatch), (dsr, dispatch));
        }
    }
}
