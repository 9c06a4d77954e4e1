//! What the stand-in for kube-proxy must do to stand for it: without kpr, it serves the cluster.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{
    Probe, TCP_PORT, UDP_PORT, Vantage, Workload,
    ways::{Everywhere, Kind},
};
use crate::{
    cluster::Cluster,
    kube_proxy::{KubeProxyMode, desired::generate},
};

/// Every kind of address serves pods, nodes and the outside, over TCP and UDP, and counts it.
pub async fn every_kind_is_served(cluster: &mut Cluster, mode: KubeProxyMode) -> Result<()> {
    cluster.start_kube_proxy(mode).await?;
    let web = Everywhere::deploy(cluster).await?;
    web.served(cluster).await?;
    let all = [Kind::ClusterIp, Kind::NodePort, Kind::ExternalIp, Kind::LoadBalancer];
    web.counts(cluster).await?.rules_led_only(&all)
}

/// A ClusterIP shows pods as they are and hides a pod that meets itself; NodePorts hide the outside behind the node that was
/// asked, unless the policy is `Local`; that one drops where no pod is; without any pod everyone is refused.
pub async fn addresses_and_refusals_are_kube_proxys(cluster: &mut Cluster, mode: KubeProxyMode) -> Result<()> {
    cluster.start_kube_proxy(mode).await?;
    let mut web = Workload::named("web")
        .replicas(1)
        .on_node("node-a")
        .node_port()
        .deploy(cluster)
        .await?;
    let pod = web.pod_on(cluster, "node-a").await?;
    let itself = Vantage::pod(&pod);
    let (on_a, on_b) = (
        web.node_port(cluster, "node-a", TCP_PORT)?,
        web.node_port(cluster, "node-b", TCP_PORT)?,
    );
    let cluster_ip = web.cluster_ip(TCP_PORT)?;
    web.served(cluster, &itself, cluster_ip, 1).await?;
    seen_as(cluster, &Vantage::Outside, on_b, cluster.node_address("node-b")?).await?;
    let gateway = cluster.testbed().host("node-a")?.spec.pod_cidrs.nth(1).primary();
    let gateway = gateway.context("the node has no pod CIDR")?;
    // The node's address on the bridge is the way to its own pods.
    seen_as(cluster, &itself, cluster_ip, gateway).await?;
    seen_as(cluster, &Vantage::Outside, on_a, gateway).await?;

    let spec = json!({"externalTrafficPolicy": "Local"});
    web.patch_service(cluster, spec).await?;
    Probe::tcp(cluster, &Vantage::Outside, on_b).dropped().await?;
    seen_as(cluster, &Vantage::Outside, on_a, cluster.client_address()?).await?;
    // Pods and the node itself are led on.
    web.served(cluster, &Vantage::node("node-b"), on_b, 1).await?;

    // Or the kernel would send one client no more than one ICMP error a second.
    for host in cluster.testbed().hosts() {
        host.netns.sysctl(&[("net.ipv4.icmp_ratelimit", "0")])?;
    }
    web.scale(cluster, 0).await?;
    web.ready_pods(cluster, 0).await?;
    Probe::tcp(cluster, &Vantage::node("node-b"), cluster_ip)
        .refused()
        .await?;
    Probe::tcp(cluster, &Vantage::Outside, on_a).refused().await?;
    let udp = web.node_port(cluster, "node-a", UDP_PORT)?;
    Probe::udp(cluster, &Vantage::Outside, udp).refused().await
}

/// A kube-proxy that ends leaves rules that go on; one that starts again takes them over; `--cleanup` leaves nothing. A
/// thousand Services beside do no harm.
pub async fn rules_outlive_it_until_they_are_cleaned_up(cluster: &mut Cluster, mode: KubeProxyMode) -> Result<()> {
    cluster
        .start_kube_proxy_with(mode, generate(1_000, 2).collect())
        .await?;
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let target = web.node_port(cluster, "node-b", TCP_PORT)?;
    web.served(cluster, &Vantage::Outside, target, 2).await?;

    cluster.stop_kube_proxy().await?;
    let tally = Vantage::Outside.http(cluster, target, 20).await?;
    ensure!(tally.failed() == 0, "the rules should go on: {tally:?}");
    web.scale(cluster, 1).await?;
    web.ready_pods(cluster, 1).await?;
    cluster.start_kube_proxy(mode).await?;
    web.served(cluster, &Vantage::Outside, target, 1).await?;

    cluster.remove_kube_proxy().await?;
    for host in cluster.testbed().hosts() {
        let rules = match mode {
            KubeProxyMode::Iptables => host.launch("iptables-legacy-save")?,
            KubeProxyMode::Nftables => host.launch("nft")?.args(["list", "ruleset"]),
        };
        let rules = rules.output().await?.success()?;
        let left = rules
            .lines()
            .filter(|line| line.contains("KUBE-") || line.contains("kube-proxy"));
        let left: Vec<&str> = left.filter(|line| !line.contains("KUBE-FIREWALL")).collect();
        let filter_only = left
            .iter()
            .all(|line| line.contains("block incoming localnet connections"));
        ensure!(filter_only, "{}: {left:?}", host.spec.name);
    }
    super::refused(cluster, &Vantage::Outside, target).await
}

async fn seen_as(cluster: &Cluster, from: &Vantage, target: SocketAddr, address: std::net::IpAddr) -> Result<()> {
    let probe = Probe::tcp(cluster, from, target);
    crate::cluster::eventually(
        &format!("{probe} is seen as {address}"),
        std::time::Duration::from_secs(20),
        || async {
            let tally = probe.ask(4).await?;
            let as_expected = tally.failed() == 0 && tally.seen_as == [address].into();
            Ok(if as_expected { Ok(()) } else { Err(format!("{tally:?}")) })
        },
    )
    .await
}
