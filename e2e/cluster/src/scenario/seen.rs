//! As whom pods see a client outside: what `loadBalancer.mode` promises.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use kpr_crds::ForwardingMode;

use crate::{address::Family, cluster::Cluster, kube_proxy::desired::Protocol, load_balancer::LoadBalancerDefaults};

/// Whether packets of clients outside reach pods of other nodes as they came, with headers in front, if the policy says nothing of the mode.
pub(super) fn packets_are_encapsulated(protocol: Protocol) -> Result<bool> {
    let mode = LoadBalancerDefaults::of_environment()?.mode()?;
    Ok(is_encapsulated(mode, protocol))
}

fn is_encapsulated(mode: ForwardingMode, protocol: Protocol) -> bool {
    match mode {
        ForwardingMode::Snat => false,
        ForwardingMode::Dsr => true,
        ForwardingMode::Hybrid => protocol == Protocol::Tcp,
    }
}

/// As whom a pod of another node sees the client outside that asks `node`, if the policy says nothing of the mode.
pub(super) fn behind_another_node(cluster: &Cluster, node: &str, family: Family, protocol: Protocol) -> Result<IpAddr> {
    let mode = LoadBalancerDefaults::of_environment()?.mode()?;
    behind_another_node_with(mode, cluster, node, family, protocol)
}

/// The same with a mode: as itself with DSR, if the pod's node takes such packets, else under the address with which `node` speaks to pods of other nodes.
pub(super) fn behind_another_node_with(
    mode: ForwardingMode,
    cluster: &Cluster,
    node: &str,
    family: Family,
    protocol: Protocol,
) -> Result<IpAddr> {
    if is_encapsulated(mode, protocol) && cluster.testbed().spec().nodes_take_encapsulated_packets() {
        return cluster.client_address_of(family);
    }
    let network = cluster.testbed().spec().pod_network;
    network
        .towards_other_nodes(&cluster.testbed().host(node)?.spec)
        .of_family(family)
        .with_context(|| format!("{node} has no {family} address"))
}
