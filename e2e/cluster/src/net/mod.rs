//! The machines and cables of a test cluster: network namespaces joined by a switch.

mod capture;
mod firewall;
mod netns;
mod plugin;
mod pods;
mod rule;
mod wire;

use anyhow::{Context as _, Result};

pub use self::{
    capture::{Capture, CapturedPacket, Transport},
    netns::{NETNS_DIR, Netns},
    plugin::Plugin,
    pods::{NodeWiring, POD_BRIDGE, PodNetwork, PodWiring, SECOND_UPLINK, UPLINK},
    rule::Rule,
    wire::{RealCable, merge_received},
};
use self::{plugin::Attachment, wire::Passing};
use crate::{
    address::Addresses,
    id::ClusterId,
    load_balancer::LoadBalancerDefaults,
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
    switch: Netns,
    client: Netns,
    nodes: Vec<Netns>,
    /// Programs on the switch's ends of cables.
    _passing: Vec<Passing>,
}

/// A pod on the network.
#[derive(Debug)]
pub struct PodPort {
    /// Its namespace.
    pub netns: Netns,
    /// Its addresses.
    pub addresses: Addresses,
    name: String,
    node: String,
    /// What its wiring has left on the node.
    rules: Vec<Rule>,
    afterwards: Vec<String>,
}

impl Network {
    /// Builds everything but the pods.
    pub fn build(id: &ClusterId, spec: &ClusterSpec) -> Result<Self> {
        if let PodNetwork::Plugin(plugin) = spec.pod_network {
            plugin.check()?;
        }
        let ipv6 = spec.has_ipv6();
        let switch = build_switch(id, spec)?;
        let client = Netns::create(&id.netns(CLIENT), ipv6)?;
        client.sysctl(&[("net.ipv4.ip_forward", "0"), ("net.ipv6.conf.all.forwarding", "0")])?;
        plug_in(&switch, &client, UPLINK, &switch_port(CLIENT))?;
        set_up(&client, spec.client, spec)?;

        let mut nodes = Vec::new();
        for node in &spec.nodes {
            nodes.push(build_node(id, &switch, node, spec)?);
        }
        let real_wires = match spec.real_wires {
            Some(wanted) => wanted,
            None => LoadBalancerDefaults::of_environment()?.accelerates(),
        };
        let mut passing = Vec::new();
        if real_wires {
            wire::finish_packets(&client, UPLINK)?;
            for (node, netns) in spec.nodes.iter().zip(&nodes) {
                for (device, port) in devices(node) {
                    wire::finish_packets(netns, device)?;
                    passing.push(Passing::attach(&switch, &port)?);
                }
            }
        }
        Ok(Self {
            id: id.clone(),
            spec: spec.clone(),
            switch,
            client,
            nodes,
            _passing: passing,
        })
    }

    /// What joins the machines: a bridge, with the other ends of their cables on it ([`switch_port`]).
    pub fn switch(&self) -> &Netns {
        &self.switch
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

    /// Makes the namespace of a pod and wires it to `node`, through a veth called `veth` and with these addresses: unless a
    /// plugin does that, which chooses both.
    pub fn add_pod(&self, node: &str, pod: &str, veth: &str, addresses: Addresses) -> Result<PodPort> {
        let (node, node_netns) = self.node(node)?;
        let netns = Netns::create(&self.id.netns(pod), self.spec.has_ipv6())?;
        let mut port = PodPort {
            netns,
            addresses,
            name: pod.to_owned(),
            node: node.name.clone(),
            rules: Vec::new(),
            afterwards: Vec::new(),
        };
        if let Some(attachment) = self.attachment(&port)? {
            port.addresses = attachment.add()?;
            return Ok(port);
        }
        let wiring = self
            .spec
            .pod_network
            .pod_wiring(node, port.netns.name(), veth, addresses);
        node_netns.ip(&wiring.on_node)?;
        set(node_netns, &wiring.node_sysctls)?;
        node_netns.add_rules(&wiring.rules)?;
        port.netns.ip(&wiring.in_pod)?;
        port.rules = wiring.rules;
        port.afterwards = wiring.afterwards;
        Ok(port)
    }

    /// Deletes the namespace of a pod, and with it the cable to its node.
    pub fn remove_pod(&self, port: &PodPort) -> Result<()> {
        if let Some(attachment) = self.attachment(port)? {
            attachment.delete()?;
        }
        crate::teardown::delete_netns(port.netns.name())?;
        let (_, node) = self.node(&port.node)?;
        node.delete_rules(&port.rules)?;
        node.ip(&port.afterwards)
    }

    /// The plugin's task, if one wires the pods.
    fn attachment<'n>(&'n self, port: &'n PodPort) -> Result<Option<Attachment<'n>>> {
        let PodNetwork::Plugin(plugin) = self.spec.pod_network else {
            return Ok(None);
        };
        let (node, node_netns) = self.node(&port.node)?;
        Ok(Some(Attachment {
            plugin,
            node,
            node_netns,
            state: self.id.run_dir().join(&node.name).join("cni"),
            pod: &port.name,
            pod_netns: port.netns.path(),
        }))
    }
}

fn build_switch(id: &ClusterId, spec: &ClusterSpec) -> Result<Netns> {
    let switch = Netns::create(&id.netns("switch"), spec.has_ipv6())?;
    let forwards = if spec.router.primary().is_some() { "1" } else { "0" };
    switch.sysctl(&[
        // Frames that the switch forwards are none of its netfilter's business.
        ("net.bridge.bridge-nf-call-iptables", "0"),
        ("net.bridge.bridge-nf-call-ip6tables", "0"),
        ("net.ipv4.ip_forward", forwards),
        ("net.ipv6.conf.all.forwarding", forwards),
        ("net.ipv4.conf.all.send_redirects", "0"),
        ("net.ipv4.conf.default.send_redirects", "0"),
    ])?;
    switch.ip(&[
        format!("link add {SWITCH_BRIDGE} type bridge stp_state 0 forward_delay 0 mcast_snooping 0"),
        format!("link set {SWITCH_BRIDGE} up"),
    ])?;
    let router = spec.router.with_prefixes(&spec.node_network);
    switch.ip(&pods::set_addresses(SWITCH_BRIDGE, &router))?;
    Ok(switch)
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
    for (device, port) in devices(node) {
        plug_in(switch, &netns, device, &port)?;
    }
    set_up(&netns, node.addresses, spec)?;
    let gateways = spec.client.iter();
    netns.ip(&gateways
        .map(|gateway| format!("route add default via {gateway}"))
        .collect::<Vec<_>>())?;
    let others: Vec<&NodeSpec> = spec.nodes.iter().filter(|other| other.name != node.name).collect();
    let wiring = spec.pod_network.node_wiring(spec, node, &others);
    set(&netns, &wiring.sysctls)?;
    netns.ip(&wiring.ip)?;
    netns.bridge(&wiring.bridge)?;
    netns.add_rules(&wiring.rules)?;
    for (family, rules) in &wiring.firewall {
        netns.add_firewall(*family, rules)?;
    }
    Ok(netns)
}

/// A node's devices on the nodes' network, each with the switch's end of its cable.
fn devices(node: &NodeSpec) -> impl Iterator<Item = (&'static str, String)> {
    let second = node
        .second
        .primary()
        .map(|_address| (SECOND_UPLINK, switch_port(&format!("{}-2", node.name))));
    std::iter::once((UPLINK, switch_port(&node.name))).chain(second)
}

/// The switch's end of the cable of a machine's first device.
pub fn switch_port(machine: &str) -> String {
    format!("p-{machine}")
}

/// Cables `netns` to the switch by a device called `device`, which is up then.
fn plug_in(switch: &Netns, netns: &Netns, device: &str, port: &str) -> Result<()> {
    switch.ip(&[
        format!("link add {port} type veth peer name {device} netns {}", netns.name()),
        format!("link set {port} master {SWITCH_BRIDGE} up"),
    ])?;
    netns.ip(&[format!("link set {device} up")])
}

/// Gives the first device its addresses.
fn set_up(netns: &Netns, addresses: Addresses, spec: &ClusterSpec) -> Result<()> {
    netns.ip(&pods::set_addresses(
        UPLINK,
        &addresses.with_prefixes(&spec.node_network),
    ))
}

fn set(netns: &Netns, sysctls: &[(String, &'static str)]) -> Result<()> {
    let sysctls: Vec<(&str, &str)> = sysctls.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    netns.sysctl(&sysctls)
}
