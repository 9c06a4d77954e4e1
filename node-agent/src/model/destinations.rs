//! Where a Service wants to be reachable, before anyone asks whether it may.

use std::net::IpAddr;

use kpr_abi::{V4, V6};

use super::{IpFamily, Kind, Protocol, input::Service};

/// Address, port and protocol of a frontend, of either family. The unspecified address stands for NodePort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Destination {
    pub(super) addr: IpAddr,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

/// A destination that a Service names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    pub(super) destination: Destination,
    pub(super) kind: Kind,
    /// Index into the Service's ports.
    pub(super) port: usize,
}

/// Every destination that a Service names, of both families, without duplicates, ordered by destination. A Service
/// without a cluster IP of a family has nothing in that family, as in kube-proxy.
pub(super) fn destinations(service: &Service) -> Vec<Named> {
    let mut named = Vec::new();
    family::<V4>(service, &mut named);
    family::<V6>(service, &mut named);
    named.sort_unstable();
    named.dedup();
    named
}

fn family<F: IpFamily>(service: &Service, named: &mut Vec<Named>) {
    let mine = |addr: &IpAddr| F::pick(*addr).is_some();
    let Some(&cluster_ip) = service.cluster_ips.iter().find(|addr| mine(addr)) else {
        return;
    };
    for (index, port) in service.ports.iter().enumerate() {
        let mut name = |kind, addr, number| {
            named.push(Named {
                destination: Destination {
                    addr,
                    port: number,
                    protocol: port.protocol,
                },
                kind,
                port: index,
            });
        };
        name(Kind::ClusterIp, cluster_ip, port.port);
        for &addr in service.external_ips.iter().filter(|addr| mine(addr)) {
            name(Kind::ExternalIp, addr, port.port);
        }
        for &addr in service.load_balancer_ips.iter().filter(|addr| mine(addr)) {
            name(Kind::LoadBalancer, addr, port.port);
        }
        if let Some(node_port) = port.node_port {
            name(Kind::NodePort, F::any(), node_port);
        }
    }
}
