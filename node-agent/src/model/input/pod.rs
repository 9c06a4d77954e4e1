//! Pods of this node: what their hostPorts need, and which addresses they have.

use std::{net::IpAddr, sync::Arc};

use jiff::Timestamp;
use k8s_openapi::api::core::v1;

use super::{InputError, address, name_of};
use crate::model::{IpFamily as _, NamespacedName, Problem, ProblemKind, Protocol};
use kpr_abi::{V4, V6};

/// A watched Pod: one with hostPorts to serve, or one to leave alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PodInput {
    /// Its hostPorts are to be served.
    Served(Pod),
    /// It has none, does not run (yet, or any more), or is in the node's own network namespace, where a hostPort is nothing
    /// but the port that its container listens on.
    Ignored {
        /// Name of what the Pod asks for, as [`NamespacedName::of_pod`] makes it.
        name: NamespacedName,
        /// Its addresses, if it runs.
        addresses: Vec<IpAddr>,
    },
}

/// A running Pod with hostPorts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pod {
    /// Name of what the Pod asks for, as [`NamespacedName::of_pod`] makes it.
    pub name: NamespacedName,
    /// `metadata.creationTimestamp`; decides who has a port that two Pods name.
    pub created: Option<Timestamp>,
    /// `spec.nodeName`.
    pub node: Option<Arc<str>>,
    /// `status.podIPs`: one of each family at most.
    pub addresses: Vec<IpAddr>,
    /// Its containers' hostPorts.
    pub host_ports: Vec<HostPort>,
    /// It is being deleted. Its hostPorts are served until it is gone, as its containers are.
    pub terminating: bool,
    /// What was left out.
    pub problems: Vec<Problem>,
}

/// One of `spec.containers[].ports` that has a `hostPort`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// `hostIP`; unspecified: every address of the node of that family. Without a `hostIP`: of both.
    pub addresses: Vec<IpAddr>,
    /// `hostPort`.
    pub port: u16,
    /// `protocol`.
    pub protocol: Protocol,
    /// `containerPort`.
    pub target: u16,
}

impl PodInput {
    /// Parses a Pod.
    pub fn parse(pod: &v1::Pod) -> Result<Self, InputError> {
        let name = NamespacedName::of_pod(&name_of(&pod.metadata)?);
        let status = pod.status.as_ref();
        let is_running = status.and_then(|status| status.phase.as_deref()) == Some("Running");
        let addresses = if is_running { addresses(status) } else { Vec::new() };
        let Some(spec) = pod.spec.as_ref().filter(|spec| spec.host_network != Some(true)) else {
            return Ok(Self::Ignored { name, addresses });
        };
        let mut found = Vec::new();
        let host_ports = host_ports(spec, &mut found);
        if addresses.is_empty() || (host_ports.is_empty() && found.is_empty()) {
            return Ok(Self::Ignored { name, addresses });
        }
        Ok(Self::Served(Pod {
            created: pod.metadata.creation_timestamp.as_ref().map(|time| time.0),
            node: spec.node_name.as_deref().map(Into::into),
            addresses,
            host_ports,
            terminating: pod.metadata.deletion_timestamp.is_some(),
            problems: found.into_iter().map(|kind| kind.of(&name)).collect(),
            name,
        }))
    }

    /// Name of what the Pod asks for.
    pub fn name(&self) -> &NamespacedName {
        match self {
            Self::Served(pod) => &pod.name,
            Self::Ignored { name, .. } => name,
        }
    }

    /// Its addresses; none of one that does not run.
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Self::Served(pod) => &pod.addresses,
            Self::Ignored { addresses, .. } => addresses,
        }
    }
}

fn addresses(status: Option<&v1::PodStatus>) -> Vec<IpAddr> {
    let ips = status.and_then(|status| status.pod_ips.as_deref()).unwrap_or_default();
    ips.iter().filter_map(|ip| address::address(&ip.ip)).collect()
}

/// Of containers, and of the init containers that go on beside them.
fn host_ports(spec: &v1::PodSpec, problems: &mut Vec<ProblemKind>) -> Vec<HostPort> {
    let is_sidecar = |container: &&v1::Container| container.restart_policy.as_deref() == Some("Always");
    let sidecars = spec.init_containers.iter().flatten().filter(is_sidecar);
    let containers = spec.containers.iter().chain(sidecars);
    let mut read = Vec::new();
    for port in containers.flat_map(|container| container.ports.iter().flatten()) {
        let Some(number) = port.host_port.filter(|&number| number != 0) else {
            continue;
        };
        match host_port(port, number) {
            Ok(port) => read.push(port),
            Err(problem) => problems.push(problem),
        }
    }
    read
}

fn host_port(port: &v1::ContainerPort, number: i32) -> Result<HostPort, ProblemKind> {
    let protocol = Protocol::parse(port.protocol.as_deref()).ok_or_else(|| ProblemKind::UnknownProtocol {
        field: "spec.containers[].ports[].protocol",
        value: port.protocol.as_deref().unwrap_or_default().into(),
    })?;
    let checked = |field, value| address::port(value).ok_or(ProblemKind::InvalidPort { field, value });
    Ok(HostPort {
        addresses: host_addresses(port.host_ip.as_deref().unwrap_or_default())?,
        port: checked("spec.containers[].ports[].hostPort", number)?,
        protocol,
        target: checked("spec.containers[].ports[].containerPort", port.container_port)?,
    })
}

/// As the CNI's plugin `portmap` reads it: without a `hostIP` both families, with an unspecified one its own family.
fn host_addresses(text: &str) -> Result<Vec<IpAddr>, ProblemKind> {
    match text {
        "" => Ok(vec![V4::any(), V6::any()]),
        "0.0.0.0" => Ok(vec![V4::any()]),
        "::" => Ok(vec![V6::any()]),
        text => match address::address(text) {
            Some(addr) => Ok(vec![addr]),
            None => Err(ProblemKind::InvalidAddress {
                field: "spec.containers[].ports[].hostIP",
                value: text.into(),
            }),
        },
    }
}
