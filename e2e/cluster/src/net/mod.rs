//! The machines and cables of a test cluster: network namespaces joined by a switch.

mod capture;
mod netns;
mod pods;

use anyhow::{Context as _, Result};

pub use self::{
    capture::{Capture, CapturedPacket, Transport},
    netns::{NETNS_DIR, Netns},
    pods::{POD_BRIDGE, PodNetwork, PodWiring, TUNNEL, UPLINK},
};
use crate::{
    address::Addresses,
    id::ClusterId,
    spec::{ClusterSpec, NodeSpec},
};

/// The bridge inside the switch.
const SWITCH_BRIDGE: &str = "br0";

/// Name of the outside client within its cluster.
pub const CLIENT: &str = "client";

/// The namespaces of nodes and client, cabled and routed.
#[derive(Debug)]
pub struct Network {
    id: ClusterId,
    spec: ClusterSpec,
    client: Netns,
    nodes: Vec<Netns>,
}

impl Network {
    /// Builds everything but the pods.
    pub fn build(id: &ClusterId, spec: &ClusterSpec) -> Result<Self> {
        let ipv6 = spec.has_ipv6();
        let switch = Netns::create(&id.netns("switch"), ipv6)?;
        // Frames that the switch forwards are none of its netfilter's business.
        switch.sysctl(&[
            ("net.bridge.bridge-nf-call-iptables", "0"),
            ("net.bridge.bridge-nf-call-ip6tables", "0"),
        ])?;
        switch.ip(&[
            format!("link add {SWITCH_BRIDGE} type bridge stp_state 0 forward_delay 0"),
            format!("link set {SWITCH_BRIDGE} up"),
        ])?;

        let client = Netns::create(&id.netns(CLIENT), ipv6)?;
        client.sysctl(&[("net.ipv4.ip_forward", "0"), ("net.ipv6.conf.all.forwarding", "0")])?;
        plug_in(&switch, &client, CLIENT, spec.client, spec)?;

        let mut nodes = Vec::new();
        for node in &spec.nodes {
            nodes.push(build_node(id, &switch, node, spec)?);
        }
        Ok(Self {
            id: id.clone(),
            spec: spec.clone(),
            client,
            nodes,
        })
    }

    /// The outside client.
    pub fn client(&self) -> &Netns {
        &self.client
    }

    /// The node called `name`.
    pub fn node(&self, name: &str) -> Result<(&NodeSpec, &Netns)> {
        let index = self.spec.nodes.iter().position(|node| node.name == name);
        let index = index.with_context(|| format!("there is no node {name}"))?;
        Ok((&self.spec.nodes[index], &self.nodes[index]))
    }

    /// Makes the namespace of a pod and wires it to `node`.
    pub fn add_pod(&self, node: &str, pod: &str, veth: &str, addresses: Addresses) -> Result<Netns> {
        let (node, node_netns) = self.node(node)?;
        let pod_netns = Netns::create(&self.id.netns(pod), self.spec.has_ipv6())?;
        let wiring = self
            .spec
            .pod_network
            .pod_wiring(node, pod_netns.name(), veth, addresses);
        node_netns.ip(&wiring.on_node)?;
        let sysctls: Vec<(&str, &str)> = wiring
            .node_sysctls
            .iter()
            .map(|(key, value)| (key.as_str(), *value))
            .collect();
        node_netns.sysctl(&sysctls)?;
        pod_netns.ip(&wiring.in_pod)?;
        Ok(pod_netns)
    }

    /// Deletes the namespace of a pod, and with it the cable to its node.
    pub fn remove_pod(&self, pod: &str) -> Result<()> {
        crate::teardown::delete_netns(&self.id.netns(pod))
    }
}

fn build_node(id: &ClusterId, switch: &Netns, node: &NodeSpec, spec: &ClusterSpec) -> Result<Netns> {
    let netns = Netns::create(&id.netns(&node.name), spec.has_ipv6())?;
    let rp_filter = spec.rp_filter.to_string();
    // Before any link exists, because links inherit `default`, and `all` alone is not enough: the kernel takes the
    // greater of the two for rp_filter, and sends redirects if either says so.
    netns.sysctl(&[
        ("net.ipv4.ip_forward", "1"),
        ("net.ipv6.conf.all.forwarding", "1"),
        ("net.ipv4.conf.all.rp_filter", &rp_filter),
        ("net.ipv4.conf.default.rp_filter", &rp_filter),
        ("net.ipv4.conf.all.send_redirects", "0"),
        ("net.ipv4.conf.default.send_redirects", "0"),
    ])?;
    plug_in(switch, &netns, &node.name, node.addresses, spec)?;
    let others: Vec<&NodeSpec> = spec.nodes.iter().filter(|other| other.name != node.name).collect();
    let mut script: Vec<String> = Vec::new();
    script.extend(
        spec.client
            .iter()
            .map(|gateway| format!("route add default via {gateway}")),
    );
    script.extend(spec.pod_network.node_script(node, &others));
    netns.ip(&script)?;
    netns.bridge(&spec.pod_network.forwarding_entries(&others))?;
    Ok(netns)
}

/// Cables `netns` to the switch: its `eth0` gets `addresses`.
fn plug_in(switch: &Netns, netns: &Netns, port: &str, addresses: Addresses, spec: &ClusterSpec) -> Result<()> {
    switch.ip(&[
        format!("link add p-{port} type veth peer name {UPLINK} netns {}", netns.name()),
        format!("link set p-{port} master {SWITCH_BRIDGE} up"),
    ])?;
    let mut script = pods::set_addresses(UPLINK, &addresses.with_prefixes(&spec.node_network));
    script.push(format!("link set {UPLINK} up"));
    netns.ip(&script)
}
