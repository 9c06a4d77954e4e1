//! Which Services have a health check port, and what it has to tell load balancers.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    NamespacedName,
    input::{EndpointSlice, Service},
};

/// A Service of `type: LoadBalancer` with `externalTrafficPolicy: Local`: load balancers ask its
/// `spec.healthCheckNodePort` on every node whether that node has an endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The Service.
    pub service: NamespacedName,
    /// `spec.healthCheckNodePort`.
    pub port: u16,
    /// Ready endpoints on this node: distinct addresses, whatever their ports. What terminates does not count, although
    /// it may still be served (KEP-1669): load balancers shall turn away before it is gone. A pod of a dual-stack
    /// Service has an address of each family and counts once, as in kube-proxy, where each family counts for itself.
    pub local_ready_endpoints: usize,
}

impl HealthCheck {
    /// None if the Service needs no health check.
    pub(super) fn of<'a>(
        service: &Service,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
        node: &str,
    ) -> Option<Self> {
        let port = service.health_check_node_port?;
        let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
        // Without a port nothing of a slice can be reached.
        let endpoints = slices
            .into_iter()
            .filter(|slice| !slice.ports.is_empty())
            .flat_map(|slice| &slice.endpoints);
        for endpoint in endpoints.filter(|e| e.ready && e.node.as_deref() == Some(node)) {
            match endpoint.addr {
                IpAddr::V4(addr) => drop(v4.insert(addr)),
                IpAddr::V6(addr) => drop(v6.insert(addr)),
            }
        }
        Some(Self {
            service: service.name.clone(),
            port,
            local_ready_endpoints: v4.len().max(v6.len()),
        })
    }
}
