//! One Service's frontends on one node, in one family.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;
use kpr_abi::{Be16, ServiceKey, TableSize};

use super::{
    Backend, DesiredService, Frontend, IpFamily, Kind, NodeFacts, Problem, ProblemKind, Protocol, ServicePortName,
    addresses::{Addresses, Socket},
    claims::Claims,
    destinations::{Named, destinations},
    endpoints::{self, Target},
    input::{Affinity, EndpointSlice, Service, ServicePort},
    traffic::{self, Uses},
};

/// What the rules look at.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) claims: &'a Claims,
    pub(super) addresses: &'a Addresses,
    pub(super) node: &'a NodeFacts,
}

impl Context<'_> {
    /// Applies the rules to one Service.
    pub(super) fn service<'a, F: IpFamily>(
        &self,
        service: &Service,
        slices: &(impl Iterator<Item = &'a EndpointSlice> + Clone),
    ) -> DesiredService<F> {
        let mut problems = service.problems.clone();
        problems.extend(slices.clone().flat_map(|slice| slice.problems.iter().cloned()));

        let mut served = self.served::<F>(service, &mut problems);
        let affinity_seconds = if served.is_empty() {
            0
        } else {
            self.affinity_seconds(service, &mut problems)
        };
        let mut frontends = Vec::with_capacity(served.len());
        served.sort_by_key(|named| named.port);
        for frontends_of_port in served.chunk_by(|a, b| a.port == b.port) {
            let port = &service.ports[frontends_of_port[0].port];
            let external = frontends_of_port.iter().any(|named| named.kind.is_external());
            let targets = endpoints::of_port::<F>(slices.clone(), port, &self.node.name);
            let lists = traffic::categorize(&targets, Uses::of(service, external, self.node), self.node);
            let template = PortLists {
                port,
                cluster: self.backends(&lists.cluster, port),
                local: self.backends(&lists.local, port),
                has_endpoints: lists.has_endpoints,
                maglev: self.node.maglev,
            };
            let built = frontends_of_port.iter().filter_map(|named| {
                let source_ranges = self.source_ranges::<F>(service, named);
                template.frontend(service, named, affinity_seconds, source_ranges)
            });
            frontends.extend(built);
        }
        frontends.sort_by_key(|frontend| {
            let addr: F::Ip = frontend.key.addr.into();
            (addr, frontend.key.port.host(), frontend.key.proto)
        });
        problems.sort_unstable();
        problems.dedup();
        DesiredService {
            name: service.name.clone(),
            frontends,
            problems,
        }
    }

    /// The destinations that this node serves for the Service: of this family, of the kinds that are switched on, that
    /// the datapath can serve as they are meant, and that belong to no one else.
    fn served<F: IpFamily>(&self, service: &Service, problems: &mut Vec<Problem>) -> Vec<Named> {
        let mut refuse = |kind: ProblemKind| {
            problems.push(kind.of(&service.name));
            false
        };
        let mut named = destinations(service);
        named.retain(|name| F::pick(name.destination.addr).is_some() && self.node.kinds.serves(name.kind));
        named.retain(|name| {
            let protocol = name.destination.protocol;
            if protocol == Protocol::Sctp && !self.node.capabilities.sctp {
                let port = service.ports[name.port].port;
                return refuse(ProblemKind::UnsupportedProtocol { port, protocol });
            }
            true
        });
        named.retain(|name| match self.claims.winner(&name.destination, self.node.kinds) {
            Some(winner) if winner.service == service.name && winner.port == name.port => winner.kind == name.kind,
            Some(winner) => refuse(ProblemKind::FrontendConflict {
                kind: name.kind,
                addr: name.destination.addr,
                port: name.destination.port,
                protocol: name.destination.protocol,
                owner: winner.service.clone(),
            }),
            // Not reachable: every destination of an indexed Service is claimed.
            None => false,
        });
        named.retain(|name| {
            let ranges = self.source_ranges::<F>(service, name);
            if !ranges.is_empty() && !self.node.capabilities.source_ranges {
                let (addr, port) = (name.destination.addr, name.destination.port);
                return refuse(ProblemKind::SourceRangesUnsupported { addr, port });
            }
            true
        });
        named
    }

    /// Ranges restrict LoadBalancer IPs only, and only ranges of the family count: none of it means everyone, as in
    /// kube-proxy. Where the node is inside, so is the IP itself: a connection of the node to it may have it as its source.
    fn source_ranges<F: IpFamily>(&self, service: &Service, named: &Named) -> Vec<IpNet> {
        if named.kind != Kind::LoadBalancer {
            return Vec::new();
        }
        let of_family = |range: &&IpNet| F::pick(range.addr()).is_some();
        let mut ranges: Vec<IpNet> = service.source_ranges.iter().filter(of_family).copied().collect();
        let own = named.destination.addr;
        let is_in = |addr: &IpAddr| ranges.iter().any(|range| range.contains(addr));
        if self.node.ips.iter().any(is_in) && !is_in(&own) {
            ranges.push(IpNet::from(own));
        }
        ranges
    }

    fn affinity_seconds(&self, service: &Service, problems: &mut Vec<Problem>) -> u32 {
        match (service.affinity, self.node.affinity_default_seconds) {
            (Affinity::None, _) | (_, None) => 0,
            (Affinity::ClientIp { timeout_seconds }, Some(default)) if self.node.capabilities.session_affinity => {
                timeout_seconds.unwrap_or(default)
            }
            (Affinity::ClientIp { .. }, Some(_)) => {
                problems.push(ProblemKind::AffinityUnsupported.of(&service.name));
                0
            }
        }
    }

    fn backends<F: IpFamily>(&self, targets: &[Target<'_, F>], port: &ServicePort) -> Arc<[Backend<F>]> {
        let backend = |target: &Target<'_, F>| {
            let addr: IpAddr = target.addr.into();
            let socket = Socket {
                addr,
                port: target.port,
                protocol: port.protocol,
            };
            let facts = self.addresses.facts(&socket, self.node);
            Backend {
                addr: target.addr,
                port: target.port,
                protocol: port.protocol,
                local: facts.local,
                terminating: facts.terminating,
                dsr: facts.dsr,
            }
        };
        targets.iter().map(backend).collect()
    }
}

/// What all frontends of one port share.
struct PortLists<'a, F: IpFamily> {
    port: &'a ServicePort,
    cluster: Arc<[Backend<F>]>,
    local: Arc<[Backend<F>]>,
    has_endpoints: bool,
    maglev: Option<TableSize>,
}

impl<F: IpFamily> PortLists<'_, F> {
    /// `None` if the destination is of the other family.
    fn frontend(
        &self,
        service: &Service,
        named: &Named,
        affinity_seconds: u32,
        source_ranges: Vec<IpNet>,
    ) -> Option<Frontend<F>> {
        let addr = F::pick(named.destination.addr)?;
        Some(Frontend {
            key: ServiceKey::new(
                F::Addr::from(addr),
                Be16::new(named.destination.port),
                named.destination.protocol.number(),
            ),
            kind: named.kind,
            port: ServicePortName {
                service: service.name.clone(),
                port: Arc::clone(&self.port.name),
            },
            cluster: Arc::clone(&self.cluster),
            local: Arc::clone(&self.local),
            external_local: service.external_local && named.kind.is_external(),
            internal_local: service.internal_local && !named.kind.is_external(),
            affinity_seconds,
            has_endpoints: self.has_endpoints,
            source_ranges,
            maglev: self.maglev.filter(|_| named.kind.is_shared_by_nodes()),
        })
    }
}
