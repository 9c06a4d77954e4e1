//! As whom pods see a client outside: what `loadBalancer.mode` promises.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use kpr_crds::ForwardingMode;

use crate::{address::Family, cluster::Cluster, kube_proxy::desired::Protocol, load_balancer::LoadBalancerDefaults};

/// As whom a pod of another node sees the client outside that asks `node`, if the policy says nothing of the mode.
pub(super) fn behind_another_node(cluster: &Cluster, node: &str, family: Family, protocol: Protocol) -> Result<IpAddr> {
    let mode = LoadBalancerDefaults::of_environment()?.mode()?;
    behind_another_node_with(mode, cluster, node, family, protocol)
}

/// The same with a mode: as itself with DSR, else under the address with which `node` speaks to pods of other nodes.
pub(super) fn behind_another_node_with(
    mode: ForwardingMode,
    cluster: &Cluster,
    node: &str,
    family: Family,
    protocol: Protocol,
) -> Result<IpAddr> {
    let as_it_came = match mode {
        ForwardingMode::Snat => false,
        ForwardingMode::Dsr => true,
        ForwardingMode::Hybrid => protocol == Protocol::Tcp,
    };
    if as_it_came {
        return cluster.client_address_of(family);
    }
    let network = cluster.testbed().spec().pod_network;
    network
        .towards_other_nodes(&cluster.testbed().host(node)?.spec)
        .of_family(family)
        .with_context(|| format!("{node} has no {family} address"))
}
