//! As whom pods see a client outside: what `loadBalancer.mode` promises.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use kpr_crds::ForwardingMode;

use super::Vantage;
use crate::{
    address::Family,
    client::UdpStyle,
    cluster::{Cluster, eventually},
    kube_proxy::desired::Protocol,
    load_balancer::LoadBalancerDefaults,
};

/// How long nodes may take to hear of each other.
const PATIENCE: Duration = Duration::from_secs(20);
/// Flows of which every one must be as expected: enough to meet two pods but for two times in a million.
const REQUESTS: u32 = 20;

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

/// Waits, if packets are encapsulated, until pods see `from` as one of `expected` behind `target`. Until nodes have heard that the others
/// take such packets, and each of them of the Service, flows get SNAT; from then on, none does.
pub(super) async fn settled(
    cluster: &Cluster,
    from: &Vantage,
    target: SocketAddr,
    protocol: Protocol,
    expected: &[IpAddr],
) -> Result<()> {
    if !packets_are_encapsulated(protocol)? {
        return Ok(());
    }
    eventually(
        &format!("{from} is seen as one of {expected:?} behind {target}"),
        PATIENCE,
        || async move {
            let tally = match protocol {
                Protocol::Tcp => from.http(cluster, target, REQUESTS).await?,
                Protocol::Udp => from.udp(cluster, target, UdpStyle::Connected, REQUESTS).await?,
                Protocol::Sctp => from.sctp(cluster, target, REQUESTS).await?,
            };
            let is_so = tally.failed() == 0 && tally.seen_as.iter().all(|seen| expected.contains(seen));
            Ok(if is_so { Ok(()) } else { Err(format!("{tally:?}")) })
        },
    )
    .await
}

/// As whom a pod of another node sees the client outside that asks `node`, if the policy says nothing of the mode.
pub(super) fn behind_another_node(cluster: &Cluster, node: &str, family: Family, protocol: Protocol) -> Result<IpAddr> {
    let mode = LoadBalancerDefaults::of_environment()?.mode()?;
    behind_another_node_with(mode, cluster, node, family, protocol)
}

/// The same with a mode: as itself with DSR, if the pod's node takes such packets, else under the address with which `node` speaks to
/// pods of other nodes.
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
