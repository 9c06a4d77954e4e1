//! One Pod's hostPorts on this node, in one family: served like a NodePort whose only backend is the Pod itself.

use std::{net::IpAddr, sync::Arc};

use kpr_abi::{Be16, ServiceKey};

use super::{
    Backend, DesiredService, Frontend, IpFamily, Kind, Problem, ProblemKind, Protocol, ServicePortName,
    addresses::Socket,
    build::Context,
    claims::Claim,
    destinations::{Destination, Named},
    input::{HostPort, Pod},
};

/// Every destination that a Pod names, of both families; beside an address of the node also the unspecified one, which it
/// does not get: a NodePort on the same number, which has all addresses, is so known to be a rival.
pub(super) fn destinations(pod: &Pod) -> Vec<Named> {
    let mut named = Vec::new();
    for (index, port) in pod.host_ports.iter().enumerate() {
        for &addr in &port.addresses {
            for addr in [addr, any_like(addr)] {
                named.push(Named {
                    destination: destination(addr, port),
                    kind: Kind::HostPort,
                    port: index,
                });
            }
        }
    }
    named.sort_unstable();
    named.dedup();
    named
}

fn destination(addr: IpAddr, port: &HostPort) -> Destination {
    Destination {
        addr,
        port: port.port,
        protocol: port.protocol,
    }
}

/// Any address of the same family.
fn any_like(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(_) => kpr_abi::V4::any(),
        IpAddr::V6(_) => kpr_abi::V6::any(),
    }
}

impl Context<'_> {
    /// Applies the rules to one Pod. In a family that the Pod has no address of nothing is served.
    pub(super) fn pod<F: IpFamily>(&self, pod: &Pod) -> DesiredService<F> {
        let mut problems = pod.problems.clone();
        let mut frontends = Vec::new();
        let addr = pod.addresses.iter().find_map(|addr| F::pick(*addr));
        if let Some(addr) = addr.filter(|_| self.node.kinds.serves(Kind::HostPort)) {
            for (index, port) in pod.host_ports.iter().enumerate() {
                let backends: Arc<[Backend<F>]> = Arc::new([self.backend(addr, port)]);
                for host in port.addresses.iter().filter_map(|addr| F::pick(*addr)) {
                    if self.is_owner(pod, index, port, host.into(), &mut problems) {
                        frontends.push(frontend(pod, port, host, &backends));
                    }
                }
            }
        }
        frontends.sort_by_key(|frontend| {
            let addr: F::Ip = frontend.key.addr.into();
            (addr, frontend.key.port.host(), frontend.key.proto)
        });
        problems.sort_unstable();
        problems.dedup();
        DesiredService {
            name: pod.name.clone(),
            frontends,
            problems,
        }
    }

    /// Whether the Pod gets the port on this address. A NodePort of the same number comes first, whatever the address.
    fn is_owner(&self, pod: &Pod, index: usize, port: &HostPort, addr: IpAddr, problems: &mut Vec<Problem>) -> bool {
        let HostPort {
            port: number, protocol, ..
        } = *port;
        if protocol == Protocol::Sctp && !self.node.capabilities.sctp {
            let port = number;
            problems.push(ProblemKind::UnsupportedProtocol { port, protocol }.of(&pod.name));
            return false;
        }
        let winner = |addr| self.claims.winner(&destination(addr, port), self.node.kinds);
        let node_port = winner(any_like(addr)).filter(|claim| claim.kind == Kind::NodePort);
        let is_own = |claim: &Claim| claim.service == pod.name && claim.port == index;
        match node_port.or_else(|| winner(addr)) {
            Some(claim) if is_own(claim) => true,
            Some(claim) if claim.service != pod.name => {
                let conflict = ProblemKind::HostPortConflict {
                    addr,
                    port: number,
                    protocol,
                    owner: claim.service.clone(),
                };
                problems.push(conflict.of(&pod.name));
                false
            }
            _ => false,
        }
    }

    fn backend<F: IpFamily>(&self, addr: F::Ip, port: &HostPort) -> Backend<F> {
        let socket = Socket {
            addr: addr.into(),
            port: port.target,
            protocol: port.protocol,
        };
        let facts = self.addresses.facts(&socket, self.node);
        Backend {
            addr,
            port: port.target,
            protocol: port.protocol,
            local: facts.local,
            terminating: facts.terminating,
            dsr: facts.dsr,
        }
    }
}

/// What stands for a hostPort where Services have names of ports.
pub(super) fn port_name(pod: &Pod, port: &HostPort) -> ServicePortName {
    ServicePortName {
        service: pod.name.clone(),
        port: format!("{}/{}", port.port, port.protocol).into(),
    }
}

fn frontend<F: IpFamily>(pod: &Pod, port: &HostPort, host: F::Ip, backends: &Arc<[Backend<F>]>) -> Frontend<F> {
    Frontend {
        key: ServiceKey::new(F::Addr::from(host), Be16::new(port.port), port.protocol.number()),
        kind: Kind::HostPort,
        port: port_name(pod, port),
        cluster: Arc::clone(backends),
        local: Arc::clone(backends),
        external_local: false,
        internal_local: false,
        affinity_seconds: 0,
        has_endpoints: true,
        source_ranges: Vec::new(),
        maglev: None,
    }
}
