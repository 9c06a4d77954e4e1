//! What must work on every kind of pod network and in every address family: nothing here knows how packets travel between nodes.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kpr_crds::ForwardingMode;

use super::{Deployed, TCP_PORT, UDP_PORT, Vantage, Workload, client_pod, dsr, seen, service::pod_ip_of};
use crate::{
    address::Family,
    client::{Tally, UdpStyle},
    cluster::Cluster,
    kube_proxy::desired::Protocol,
    load_balancer::LoadBalancerDefaults,
    net::{Capture, SECOND_UPLINK, UPLINK},
};

const REQUESTS: u32 = 20;
/// Size of a large transfer, in bytes.
const LARGE: usize = 1 << 20;

/// With pods on node-a only: a pod of node-b, the nodes and the outside reach them, over TCP and UDP, in small and in large, by each
/// address family of the cluster.
pub async fn a_pod_is_reached_from_everywhere(cluster: &mut Cluster) -> Result<()> {
    reached(cluster, LoadBalancerDefaults::of_environment()?.mode()?).await
}

/// The same with DSR: through node-b, too, the pod sees the client outside itself.
pub async fn a_pod_is_reached_from_everywhere_by_dsr(cluster: &mut Cluster) -> Result<()> {
    reached(cluster, ForwardingMode::Dsr).await
}

async fn reached(cluster: &Cluster, mode: ForwardingMode) -> Result<()> {
    let families = cluster.testbed().spec().address_families();
    let web = Workload::named("web")
        .replicas(1)
        .on_node("node-a")
        .node_port()
        .families(families.all())
        .deploy(cluster)
        .await?;
    let client = client_pod(cluster, "node-b").await?;
    for &family in families.all() {
        let check = Check {
            cluster,
            web: &web,
            client: &client,
            family,
            mode,
        };
        check.all().await.with_context(|| format!("over {family}"))?;
    }
    Ok(())
}

/// A workload, somebody who asks for it, and in which family.
struct Check<'c> {
    cluster: &'c Cluster,
    web: &'c Deployed,
    client: &'c Pod,
    family: Family,
    /// How packets reach the other node's pods.
    mode: ForwardingMode,
}

impl Check<'_> {
    async fn all(&self) -> Result<()> {
        self.a_pod_of_another_node_reaches_the_cluster_ip().await?;
        self.nodes_reach_the_cluster_ip().await?;
        self.the_outside_reaches_the_node_ports().await?;
        self.the_pod_reaches_itself().await?;
        // The pod of node-b asks node-b's own address, and node-a's if it may.
        for node in ["node-b", "node-a"] {
            if node == "node-a" && !self.cluster.testbed().spec().nodes_hear_remote_pods(self.family) {
                continue;
            }
            for port in [TCP_PORT, UDP_PORT] {
                let target = self.node_port(node, port)?;
                self.served(&Vantage::pod(self.client), target).await?;
            }
        }
        self.large_transfers().await
    }

    /// Its pod sees the client pod itself, and answers in the ClusterIP's name.
    async fn a_pod_of_another_node_reaches_the_cluster_ip(&self) -> Result<()> {
        let own = pod_ip_of(self.client, self.family)?;
        let from = Vantage::pod(self.client);
        let (tcp, udp) = (self.cluster_ip(TCP_PORT)?, self.cluster_ip(UDP_PORT)?);
        self.served(&from, tcp).await?;
        self.served(&from, udp).await?;
        let [http, datagrams] = self.seen(&from, tcp, udp, [own; 2]).await?;
        ensure!(http.peers == [tcp].into(), "{http:?}");
        ensure!(datagrams.reply_sources == [udp].into(), "{datagrams:?}");
        if let IpAddr::V4(address) = tcp.ip() {
            self.a_socket_of_both_families_reaches_it(&from, address).await?;
        }
        Ok(())
    }

    /// An IPv6 socket asks for the IPv4 address, written as an IPv4-mapped one: as most runtimes do for names.
    async fn a_socket_of_both_families_reaches_it(&self, from: &Vantage, address: Ipv4Addr) -> Result<()> {
        let mapped = |port| SocketAddr::new(address.to_ipv6_mapped().into(), port);
        let (tcp, udp) = (mapped(TCP_PORT), mapped(UDP_PORT));
        let [http, datagrams] = self
            .seen(from, tcp, udp, [pod_ip_of(self.client, self.family)?; 2])
            .await?;
        ensure!(http.peers == [tcp].into(), "{http:?}");
        ensure!(datagrams.reply_sources == [udp].into(), "{datagrams:?}");
        Ok(())
    }

    async fn nodes_reach_the_cluster_ip(&self) -> Result<()> {
        for node in self.cluster.node_names() {
            for port in [TCP_PORT, UDP_PORT] {
                self.served(&Vantage::node(&node), self.cluster_ip(port)?).await?;
            }
        }
        Ok(())
    }

    /// Through node-a its pod sees the client; through node-b it sees node-b, as node-b speaks to pods of node-a, or with DSR the client.
    async fn the_outside_reaches_the_node_ports(&self) -> Result<()> {
        let client = self.cluster.client_address_of(self.family)?;
        let through_b =
            |protocol| seen::behind_another_node_with(self.mode, self.cluster, "node-b", self.family, protocol);
        let through_b = [through_b(Protocol::Tcp)?, through_b(Protocol::Udp)?];
        for (node, expected) in [("node-a", [client; 2]), ("node-b", through_b)] {
            let (tcp, udp) = (self.node_port(node, TCP_PORT)?, self.node_port(node, UDP_PORT)?);
            if self.mode != ForwardingMode::Snat {
                let [over_tcp, _] = expected;
                dsr::seen_as(self.cluster, &Vantage::Outside, tcp, over_tcp).await?;
            }
            self.served(&Vantage::Outside, tcp).await?;
            self.served(&Vantage::Outside, udp).await?;
            let [_, over_udp] = expected;
            seen::settled(self.cluster, &Vantage::Outside, udp, Protocol::Udp, &[over_udp]).await?;
            let [_, datagrams] = self
                .seen(&Vantage::Outside, tcp, udp, expected)
                .await
                .with_context(|| format!("through {node}"))?;
            ensure!(
                datagrams.reply_sources == [udp].into(),
                "answers must come from where they were asked: {datagrams:?}"
            );
        }
        Ok(())
    }

    async fn the_pod_reaches_itself(&self) -> Result<()> {
        let itself = Vantage::pod(&self.web.pod_on(self.cluster, "node-a").await?);
        self.served(&itself, self.cluster_ip(TCP_PORT)?).await
    }

    /// A body larger than any window goes to the pod and comes back whole: to the ClusterIP from a pod of the other node, and to
    /// either node's NodePort from outside.
    async fn large_transfers(&self) -> Result<()> {
        let cluster = self.cluster;
        let body: Vec<u8> = (0_u32..).flat_map(u32::to_be_bytes).take(LARGE).collect();
        let sent = cluster.testbed().dir().join("large-sent");
        std::fs::write(&sent, &body)?;
        let mut targets: BTreeMap<SocketAddr, Vantage> = BTreeMap::new();
        targets.insert(self.cluster_ip(TCP_PORT)?, Vantage::pod(self.client));
        for node in cluster.node_names() {
            targets.insert(self.node_port(&node, TCP_PORT)?, Vantage::Outside);
        }
        for (target, from) in targets {
            let received = cluster.testbed().dir().join("large-received");
            let curl = match &from {
                Vantage::Pod(pod) => cluster.in_pod(pod, "curl")?,
                Vantage::Node(node) => cluster.on_node(node, "curl")?,
                Vantage::Outside => cluster.outside("curl")?,
            };
            curl.args(["--silent", "--show-error", "--fail", "--max-time", "10", "--globoff"])
                .args(["--data-binary", &format!("@{}", sent.display())])
                .arg("--output")
                .arg(&received)
                .arg(format!("http://{target}/echo"))
                .output()
                .await?
                .success()
                .with_context(|| format!("{LARGE} bytes from {from} to {target} and back"))?;
            ensure!(
                std::fs::read(&received)? == body,
                "{from} got something else back from {target} than it sent"
            );
            std::fs::remove_file(&received)?;
        }
        Ok(())
    }

    /// Asks over TCP and UDP: every request is answered, and pods see the client as expected over each.
    async fn seen(
        &self,
        from: &Vantage,
        tcp: SocketAddr,
        udp: SocketAddr,
        expected: [IpAddr; 2],
    ) -> Result<[Tally; 2]> {
        let tallies = [
            from.http(self.cluster, tcp, REQUESTS).await?,
            from.udp(self.cluster, udp, UdpStyle::Unconnected, REQUESTS).await?,
        ];
        for (tally, expected) in tallies.iter().zip(expected) {
            ensure!(tally.answered() == REQUESTS, "{tally:?}");
            ensure!(
                tally.seen_as == [expected].into(),
                "the pod should see {expected}: {tally:?}"
            );
        }
        Ok(tallies)
    }

    async fn served(&self, from: &Vantage, target: SocketAddr) -> Result<()> {
        self.web.served(self.cluster, from, target, 1).await
    }

    fn cluster_ip(&self, port: u16) -> Result<SocketAddr> {
        self.web.cluster_ip_of(self.family, port)
    }

    fn node_port(&self, node: &str, port: u16) -> Result<SocketAddr> {
        self.web.node_port_of(self.cluster, node, self.family, port)
    }
}

/// Nodes with two devices, each with an address of its own, and pods at either: whichever address is asked, and whichever device
/// the pod's packets usually leave by, the answer leaves by the device that was asked.
pub async fn answers_leave_by_the_device_that_was_asked(cluster: &mut Cluster) -> Result<()> {
    let families = cluster.testbed().spec().address_families();
    // Two pods on one node have neighbouring addresses: one belongs to each device.
    let web = Workload::named("web")
        .on_node("node-a")
        .node_port()
        .families(families.all())
        .deploy(cluster)
        .await?;
    let node_a = cluster.testbed().host("node-a")?.clone();
    for &family in families.all() {
        let client = cluster.client_address_of(family)?;
        for (asked, other, addresses) in [
            (UPLINK, SECOND_UPLINK, node_a.spec.addresses),
            (SECOND_UPLINK, UPLINK, node_a.spec.second),
        ] {
            let address = addresses.of_family(family).context("the device has no address")?;
            for port in [TCP_PORT, UDP_PORT] {
                let number = web.node_port(cluster, "node-a", port)?.port();
                let target = SocketAddr::new(address, number);
                web.served(cluster, &Vantage::Outside, target, 2).await?;
                let wrong = Capture::start(&node_a.netns, other)?;
                let right = Capture::start(&node_a.netns, asked)?;
                web.served(cluster, &Vantage::Outside, target, 2).await?;
                let to_client = |capture: Capture| {
                    let packets = capture.finish()?.into_iter();
                    let answers = packets.filter(|packet| packet.outgoing && packet.destination.ip() == client);
                    Ok::<_, anyhow::Error>(answers.map(|packet| packet.source).collect::<Vec<_>>())
                };
                let (wrong, right) = (to_client(wrong)?, to_client(right)?);
                ensure!(
                    wrong.is_empty(),
                    "asked at {target} of {asked}, {other} answered: {wrong:?}"
                );
                ensure!(
                    right.len() >= 32 && right.iter().all(|source| *source == target),
                    "answers of {asked} to {target}: {right:?}"
                );
            }
        }
    }
    Ok(())
}
