//! The endpoints of one Service port, gathered from all slices of the Service.

use std::collections::BTreeMap;

use super::{
    IpFamily,
    input::{Endpoint, EndpointSlice, ServicePort},
};

/// An endpoint of a Service port. Slices of one Service may have different target ports for the same port name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'a, F: IpFamily> {
    pub(super) addr: F::Ip,
    pub(super) port: u16,
    pub(super) endpoint: &'a Endpoint,
}

impl<F: IpFamily> Target<'_, F> {
    pub(super) fn is_on(&self, node: &str) -> bool {
        self.endpoint.node.as_deref() == Some(node)
    }
}

/// Endpoints of a port, one per address and target port, ordered by both.
///
/// The same address and port may be mentioned twice, while an endpoint moves between slices or a new pod got the address
/// of one that terminates. As in kube-proxy, what does not terminate overrides what does, and never the other way round;
/// beyond that the more usable mention wins, then one on this node, then the first by slice name.
pub(super) fn of_port<'a, F: IpFamily>(
    slices: impl IntoIterator<Item = &'a EndpointSlice>,
    port: &ServicePort,
    node: &str,
) -> Vec<Target<'a, F>> {
    let rank = |e: &Endpoint| (!e.terminating, e.ready, e.serving, e.node.as_deref() == Some(node));
    let mut found: BTreeMap<(F::Ip, u16), &'a Endpoint> = BTreeMap::new();
    for slice in slices {
        let target_ports = slice.ports.iter();
        for target in target_ports.filter(|p| p.name == port.name && p.protocol == port.protocol) {
            for endpoint in &slice.endpoints {
                let Some(addr) = F::pick(endpoint.addr) else {
                    continue;
                };
                let best = found.entry((addr, target.port)).or_insert(endpoint);
                if rank(endpoint) > rank(best) {
                    *best = endpoint;
                }
            }
        }
    }
    let target = |((addr, port), endpoint)| Target { addr, port, endpoint };
    found.into_iter().map(target).collect()
}
