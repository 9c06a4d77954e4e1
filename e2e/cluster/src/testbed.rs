//! The machines of a cluster, without Kubernetes: namespaces, cgroups, bpffs and directories.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    address::Addresses,
    cgroup::{self, Cgroup},
    claim::Claim,
    id::ClusterId,
    interrupt,
    net::{CLIENT, Netns, Network, PodPort},
    process::{Binaries, Launch},
    spec::{ClusterSpec, NodeSpec},
    teardown,
};

/// Nodes, client and switch, ready for processes. Dropping it removes them.
#[derive(Debug)]
pub struct Testbed {
    network: Network,
    cgroup: Cgroup,
    hosts: Vec<Host>,
    binaries: Binaries,
    spec: ClusterSpec,
    // Last, so that what bears its id goes after everything that uses it.
    claim: Claim,
}

/// One node as a machine.
#[derive(Clone, Debug)]
pub struct Host {
    /// Name and addresses.
    pub spec: NodeSpec,
    /// Its network namespace.
    pub netns: Netns,
    /// Root of its cgroups: what the agent attaches to.
    pub cgroup: Cgroup,
    /// Its folder in the cluster's bpffs.
    pub bpffs: PathBuf,
    /// Its files: logs, sockets, kubeconfig.
    pub dir: PathBuf,
}

/// A pod as a machine.
#[derive(Debug)]
pub struct PodHost {
    /// Its place on the network; none when it shares its node's.
    port: Option<PodPort>,
    /// Its network namespace.
    pub netns: Netns,
    /// Its addresses.
    pub addresses: Addresses,
    /// Its cgroup, below its node's.
    pub cgroup: Cgroup,
}

impl Testbed {
    /// Builds the machines of `spec`, after removing what killed runs have left.
    pub fn build(spec: &ClusterSpec) -> Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "network namespaces need root: run this with sudo"
        );
        cgroup::mount_point()?;
        for id in teardown::sweep()? {
            tracing::info!("removed cluster {id}, whose owner has died");
        }
        let claim = Claim::take()?;
        let network = Network::build(claim.id(), spec).context("build the cluster's network")?;
        let root = Cgroup::create(&claim.id().cgroup())?;
        let mut hosts = Vec::new();
        for node in &spec.nodes {
            hosts.push(build_host(&claim, &network, &root, node)?);
        }
        Ok(Self {
            network,
            cgroup: root,
            hosts,
            binaries: Binaries::find()?,
            spec: spec.clone(),
            claim,
        })
    }

    /// Its id.
    pub fn id(&self) -> &ClusterId {
        self.claim.id()
    }

    /// What it was built from.
    pub fn spec(&self) -> &ClusterSpec {
        &self.spec
    }

    /// The programs under test.
    pub fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    /// Where files go that belong to no node.
    pub fn dir(&self) -> PathBuf {
        self.id().run_dir()
    }

    /// The nodes.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The node called `name`.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.hosts
            .iter()
            .find(|host| host.spec.name == name)
            .with_context(|| format!("there is no node {name}"))
    }

    /// The namespace of what joins the machines.
    pub fn switch(&self) -> &Netns {
        self.network.switch()
    }

    /// The outside client's namespace.
    pub fn client(&self) -> &Netns {
        self.network.client()
    }

    /// A program on the outside client.
    pub fn launch_outside(&self, program: impl Into<PathBuf>) -> Result<Launch> {
        Ok(Launch::new(program)
            .in_netns(self.client())
            .in_cgroup(&self.client_cgroup()?))
    }

    /// A program on this machine that ends with the cluster. No node's cgroup holds it, so no agent sees its sockets.
    pub fn launch_here(&self, program: impl Into<PathBuf>) -> Result<Launch> {
        Ok(Launch::new(program).in_cgroup(&self.cgroup.child("here")?))
    }

    /// The cgroup of everything in the cluster: its nodes' are its children.
    pub fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// Where the outside client's programs run.
    pub fn client_cgroup(&self) -> Result<Cgroup> {
        self.cgroup.child(CLIENT)
    }

    /// Makes the namespace and cgroup of a pod, wired to `node` with a veth called `veth` and with these addresses; but a CNI
    /// plugin chooses both itself.
    pub fn add_pod(&self, node: &str, pod: &str, veth: &str, addresses: Addresses) -> Result<PodHost> {
        let port = self.network.add_pod(node, pod, veth, addresses)?;
        let cgroup = self.host(node)?.pod_cgroup(pod)?;
        Ok(PodHost {
            netns: port.netns.clone(),
            addresses: port.addresses,
            port: Some(port),
            cgroup,
        })
    }

    /// Makes the cgroup of a pod that shares its node's network namespace.
    pub fn add_host_network_pod(&self, node: &str, pod: &str) -> Result<PodHost> {
        let host = self.host(node)?;
        Ok(PodHost {
            port: None,
            netns: host.netns.clone(),
            addresses: host.spec.addresses,
            cgroup: host.pod_cgroup(pod)?,
        })
    }

    /// Ends the processes of a pod and removes its namespace and cgroup.
    pub fn remove_pod(&self, pod: PodHost) -> Result<()> {
        pod.cgroup.remove()?;
        match &pod.port {
            Some(port) => self.network.remove_pod(port),
            None => Ok(()),
        }
    }
}

impl Host {
    /// A program on the node itself, outside any pod.
    pub fn launch(&self, program: impl Into<PathBuf>) -> Result<Launch> {
        Ok(Launch::new(program)
            .in_netns(&self.netns)
            .in_cgroup(&self.cgroup.child("system")?))
    }

    /// Where its agent keeps the socket of its local API.
    pub fn agent_run_dir(&self) -> PathBuf {
        self.dir.join("run")
    }

    /// Where the output of a pod's process goes.
    pub(crate) fn pod_log(&self, pod: &str) -> PathBuf {
        pod_log(&self.dir, pod)
    }

    pub(crate) fn pod_cgroup(&self, pod: &str) -> Result<Cgroup> {
        self.cgroup.child("pods")?.child(pod)
    }
}

impl PodHost {
    /// A program inside the pod.
    pub fn launch(&self, program: impl Into<PathBuf>) -> Launch {
        Launch::new(program).in_netns(&self.netns).in_cgroup(&self.cgroup)
    }
}

/// Where the output of a pod's process goes on the node that has this directory.
pub(crate) fn pod_log(node: &Path, pod: &str) -> PathBuf {
    node.join("pods").join(format!("{pod}.log"))
}

fn build_host(claim: &Claim, network: &Network, root: &Cgroup, node: &NodeSpec) -> Result<Host> {
    let (spec, netns) = network.node(&node.name)?;
    let cgroup = root.child(&node.name)?;
    let bpffs = claim.bpffs().join(&node.name);
    let dir = claim.id().run_dir().join(&node.name);
    let _permit = interrupt::permit();
    for path in [&bpffs, &dir] {
        fs::create_dir(path).with_context(|| format!("make {}", path.display()))?;
    }
    Ok(Host {
        spec: spec.clone(),
        netns: netns.clone(),
        cgroup,
        bpffs,
        dir,
    })
}
