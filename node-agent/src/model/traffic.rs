//! Which endpoints take traffic: traffic policies, topology hints, and the fallback to terminating endpoints.

use super::{
    IpFamily, NodeFacts,
    endpoints::Target,
    input::{Endpoint, Service},
};

/// Which lists a port's frontends can need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Uses {
    cluster: bool,
    local: bool,
}

impl Uses {
    /// `externally_accessible`: the port has frontends beside its ClusterIP. They need the cluster list even under
    /// `externalTrafficPolicy: Local`: pods and the node itself are served from it (short-circuit). With DSR, other nodes send packets
    /// for an endpoint of the local list.
    pub(super) fn of(service: &Service, externally_accessible: bool, node: &NodeFacts) -> Self {
        Self {
            cluster: !service.internal_local || externally_accessible,
            local: service.internal_local
                || ((service.external_local || node.dsr_takers.is_some()) && externally_accessible),
        }
    }
}

/// A port's endpoints by traffic policy.
#[derive(Debug)]
pub(super) struct Lists<T> {
    /// For traffic policy `Cluster`.
    pub(super) cluster: Vec<T>,
    /// For traffic policy `Local`. Hints have no say in it (KEP-2086).
    pub(super) local: Vec<T>,
    /// Some endpoint is usable somewhere.
    pub(super) has_endpoints: bool,
}

/// Sorts a port's endpoints into lists (kube-proxy: `CategorizeEndpoints`).
pub(super) fn categorize<'a, F: IpFamily>(
    targets: &[Target<'a, F>],
    uses: Uses,
    node: &NodeFacts,
) -> Lists<Target<'a, F>> {
    let local: Vec<_> = targets.iter().filter(|t| t.is_on(&node.name)).copied().collect();
    let preference = Preference::from_hints(targets.iter().map(|t| t.endpoint), node);
    Lists {
        cluster: if uses.cluster {
            ready_else_terminating(targets, |endpoint| preference.takes(endpoint, node))
        } else {
            Vec::new()
        },
        local: if uses.local {
            ready_else_terminating(&local, |_| true)
        } else {
            Vec::new()
        },
        has_endpoints: targets.iter().any(|t| t.endpoint.is_usable()),
    }
}

/// Ready endpoints that the topology prefers; if there is none, every endpoint that still serves while it terminates
/// (KEP-1669), wherever it is.
fn ready_else_terminating<'a, F: IpFamily>(
    targets: &[Target<'a, F>],
    prefers: impl Fn(&Endpoint) -> bool,
) -> Vec<Target<'a, F>> {
    let ready = targets.iter().filter(|t| t.endpoint.ready && prefers(t.endpoint));
    let ready: Vec<_> = ready.copied().collect();
    if !ready.is_empty() {
        return ready;
    }
    targets.iter().filter(|t| t.endpoint.is_fallback()).copied().collect()
}

/// How the EndpointSlice controller's hints narrow the cluster list. `spec.trafficDistribution` is the controller's
/// business: the hints are its result (KEP-2433, KEP-4444, KEP-3015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Preference {
    SameNode,
    SameZone,
    None,
}

impl Preference {
    /// All ready endpoints must have hints of a kind, and one of them must be for us: a preference is never half used.
    fn from_hints<'a>(endpoints: impl Iterator<Item = &'a Endpoint> + Clone, node: &NodeFacts) -> Self {
        let ready = endpoints.filter(|endpoint| endpoint.ready);
        let usable = |hinted: fn(&Endpoint) -> bool, preference: Self| {
            ready.clone().all(hinted) && ready.clone().any(|endpoint| preference.takes(endpoint, node))
        };
        if usable(|e| !e.node_hints().is_empty(), Self::SameNode) {
            Self::SameNode
        } else if usable(|e| !e.zone_hints().is_empty(), Self::SameZone) {
            Self::SameZone
        } else {
            Self::None
        }
    }

    fn takes(self, endpoint: &Endpoint, node: &NodeFacts) -> bool {
        match self {
            Self::SameNode => endpoint.node_hints().contains(&node.name),
            Self::SameZone => node
                .zone
                .as_ref()
                .is_some_and(|zone| endpoint.zone_hints().contains(zone)),
            Self::None => true,
        }
    }
}
