//! Programs inside a cluster's pods, nodes and outside client.

use std::{fs, net::IpAddr};

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::Client;

use super::Cluster;
use crate::{
    address::Family,
    cgroup::Cgroup,
    control::pods::node_name,
    kubelet::{self, Names},
    net::{Capture, Netns},
    process::Launch,
};

impl Cluster {
    /// A program inside a pod that runs.
    pub fn in_pod(&self, pod: &Pod, program: &str) -> Result<Launch> {
        let node = node_name(pod).context("the pod is bound to no node")?;
        let host = self.testbed().host(node)?;
        let names = Names::of(pod);
        let host_network = pod.spec.as_ref().and_then(|spec| spec.host_network).unwrap_or(false);
        let netns = if host_network {
            host.netns.clone()
        } else {
            Netns::existing(&self.testbed().id().netns(&names.sandbox))?
        };
        Ok(Launch::new(self.program(program)?)
            .in_netns(&netns)
            .in_cgroup(&self.pod_cgroup(pod)?))
    }

    /// `kubectl exec`: a command inside the container of a pod of kpr's, with what the container has.
    pub fn exec(&self, pod: &Pod, command: &[&str]) -> Result<Launch> {
        let node = node_name(pod).context("the pod is bound to no node")?;
        Ok(kubelet::exec(self.testbed().host(node)?, pod).args(command))
    }

    /// `kubectl logs`: what the container of a pod has written so far.
    pub fn logs(&self, pod: &Pod) -> Result<String> {
        let node = node_name(pod).context("the pod is bound to no node")?;
        let log = self.testbed().host(node)?.pod_log(&Names::of(pod).sandbox);
        fs::read_to_string(&log).with_context(|| format!("read {}", log.display()))
    }

    /// A client that shows the token of a pod of kpr's.
    pub fn client_of_pod(&self, pod: &Pod) -> Result<Client> {
        let node = node_name(pod).context("the pod is bound to no node")?;
        let token = kubelet::token(self.testbed().host(node)?, pod)?;
        self.control_plane.client_with_token(&token)
    }

    fn pod_cgroup(&self, pod: &Pod) -> Result<Cgroup> {
        let node = node_name(pod).context("the pod is bound to no node")?;
        self.testbed().host(node)?.pod_cgroup(&Names::of(pod).sandbox)
    }

    /// A program on a node, outside any pod.
    pub fn on_node(&self, node: &str, program: &str) -> Result<Launch> {
        self.testbed().host(node)?.launch(self.program(program)?)
    }

    /// A program on the outside client.
    pub fn outside(&self, program: &str) -> Result<Launch> {
        self.testbed().launch_outside(self.program(program)?)
    }

    /// Records the packets that cross a pod's veth, on the node's side: what comes in there has left the pod.
    pub fn capture(&self, pod: &Pod) -> Result<Capture> {
        let node = node_name(pod).context("the pod is bound to no node")?;
        Capture::start(&self.testbed().host(node)?.netns, &Names::of(pod).veth)
    }

    /// The address at which the outside reaches a node.
    pub fn node_address(&self, node: &str) -> Result<IpAddr> {
        self.testbed()
            .host(node)?
            .spec
            .addresses
            .primary()
            .with_context(|| format!("{node} has no address"))
    }

    /// The same, in one family.
    pub fn node_address_of(&self, node: &str, family: Family) -> Result<IpAddr> {
        let addresses = self.testbed().host(node)?.spec.addresses;
        addresses
            .of_family(family)
            .with_context(|| format!("{node} has no {family} address"))
    }

    /// The outside client's address in one family.
    pub fn client_address_of(&self, family: Family) -> Result<IpAddr> {
        let addresses = self.testbed().spec().client;
        addresses
            .of_family(family)
            .with_context(|| format!("the client has no {family} address"))
    }

    /// The outside client's address.
    pub fn client_address(&self) -> Result<IpAddr> {
        self.testbed()
            .spec()
            .client
            .primary()
            .context("the client has no address")
    }

    /// A program of this project by its path, any other by its name.
    fn program(&self, name: &str) -> Result<std::path::PathBuf> {
        if name.starts_with("kpr") {
            self.testbed().binaries().get(name)
        } else {
            Ok(name.into())
        }
    }
}
