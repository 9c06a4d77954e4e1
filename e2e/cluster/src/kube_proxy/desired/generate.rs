//! Services by the thousand, for benchmarks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::{Endpoints, ServicePort};

/// First address that generated Services get: far from those that the API server gives out.
const FIRST_SERVICE: u32 = 0x0a60_8000; // 10.96.128.0
/// First address of generated endpoints: of pods that nobody has.
const FIRST_ENDPOINT: u32 = 0x0af5_0000; // 10.245.0.0

/// `services` Services with one TCP port and `endpoints` endpoints each, in the namespace `generated`. Two calls with the same
/// numbers yield the same, and what a smaller call yields begins what a larger one does.
pub fn generate(services: u32, endpoints: u32) -> impl Iterator<Item = ServicePort> {
    (0..services).map(move |index| ServicePort {
        cluster_ip: address(FIRST_SERVICE, index),
        endpoints: Endpoints {
            cluster: (0..endpoints)
                .map(|endpoint| SocketAddr::new(address(FIRST_ENDPOINT, index * endpoints + endpoint), 8080))
                .collect(),
            local: Vec::new(),
        },
        ..ServicePort::named("generated", &format!("svc-{index:05}"), "http")
    })
}

fn address(first: u32, index: u32) -> IpAddr {
    Ipv4Addr::from(first + index).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ten_thousand_services_share_nothing() {
        let services: Vec<_> = generate(10_000, 5).collect();
        let frontends: BTreeSet<_> = services.iter().map(|service| service.cluster_ip).collect();
        let backends: BTreeSet<_> = services
            .iter()
            .flat_map(|service| service.endpoints.cluster.clone())
            .collect();
        assert_eq!((frontends.len(), backends.len()), (10_000, 50_000));
        assert_eq!(services[9_999].cluster_ip.to_string(), "10.96.167.15");
    }
}
