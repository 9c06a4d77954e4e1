//! Whose a frontend is: for people, since maps hold addresses and no names.

use std::net::{IpAddr, SocketAddr};

use super::{
    Protocol, ServicePortName,
    claims::Claim,
    destinations::Destination,
    host_ports::port_name,
    input::{Pod, Service},
};

/// A frontend and who has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Address and port; the unspecified address stands for NodePorts, and for hostPorts without an address.
    pub frontend: SocketAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// The port of a Service, or of what stands for a Pod.
    pub port: ServicePortName,
}

impl Owner {
    /// From a claim that wins, and whichever of the two made it.
    pub(super) fn new(
        destination: &Destination,
        claim: &Claim,
        service: Option<&Service>,
        pod: Option<&Pod>,
    ) -> Option<Self> {
        let of_service = |service: &Service| {
            let port = service.ports.get(claim.port)?.name.clone();
            let service = service.name.clone();
            Some(ServicePortName { service, port })
        };
        // A port of both families is served in those that the Pod has.
        let is_served = |pod: &&Pod| {
            let is_alike = |addr: &IpAddr| addr.is_ipv4() == destination.addr.is_ipv4();
            pod.addresses.iter().any(is_alike)
        };
        let of_pod = |pod: &Pod| Some(port_name(pod, pod.host_ports.get(claim.port)?));
        Some(Self {
            frontend: SocketAddr::new(destination.addr, destination.port),
            protocol: destination.protocol,
            port: service
                .and_then(of_service)
                .or_else(|| pod.filter(is_served).and_then(of_pod))?,
        })
    }
}
