//! Which nodes of a pool may change now, and to what.
//!
//! A change goes to at most `maxUnavailable` nodes at a time: the next ones change only when the last ones serve with it.
//! The first changed node that reports a failure, or is not ready within `progressDeadlineSeconds`, stops the rollout; with
//! `onFailure: Rollback` the changed nodes go back to what they served with before.
//!
//! The decision depends on what is in the API alone, so that a restarted operator goes on where the last one was. What the
//! objects do not show by themselves is kept beside them: with each node when and from what it was changed ([`Memory`]),
//! with the policy which generation reached every node and which one failed (`status.rollout`).

mod good;
pub mod health;
mod member;
mod memory;
mod plan;
mod progress;
#[cfg(test)]
mod tests;

pub use member::Member;
pub use memory::{Memory, ROLLOUT};
pub use plan::{Change, Context, Plan, plan};
pub use progress::{Phase, Progress, Waiting};

use kpr_crds::NodeDatapathSpec;

/// The same but for where it comes from: a node goes from one to the other without doing anything.
pub fn same_configuration(one: &NodeDatapathSpec, other: &NodeDatapathSpec) -> bool {
    // Destructured so that a new field can't be forgotten.
    let NodeDatapathSpec {
        policy: _,
        policy_generation: _,
        phase,
        mode,
        services,
        devices,
        direct_routing_device,
        node_port,
        session_affinity,
        load_balancer,
        socket_lb,
        maps,
        metrics,
        kube_proxy,
        // What becomes of kube-proxy's rules is not the datapath's.
        kube_proxy_rules: _,
    } = one;
    *phase == other.phase
        && *mode == other.mode
        && *services == other.services
        && *devices == other.devices
        && *direct_routing_device == other.direct_routing_device
        && *node_port == other.node_port
        && *session_affinity == other.session_affinity
        && *load_balancer == other.load_balancer
        && *socket_lb == other.socket_lb
        && *maps == other.maps
        && *metrics == other.metrics
        && *kube_proxy == other.kube_proxy
}
