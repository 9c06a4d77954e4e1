//! A node of a test cluster, with kpr's datapath and nothing else: no agent, no API server.

use std::{net::Ipv4Addr, path::PathBuf};

use anyhow::{Context as _, Result};
use kpr_cluster::{
    net::UPLINK,
    spec::ClusterSpec,
    testbed::{Host, Testbed},
};
use kpr_node_agent::{
    datapath::{Datapath, Dsr, DsrDispatch, Options, PortRange, Settings, Sizes, SocketLb, TcChoice},
    devices::Device,
};
use serde_json::{Value, json};

/// Ports that may be NodePorts.
pub(crate) const NODE_PORTS: PortRange = PortRange {
    min: 30_000,
    max: 32_767,
};
/// Source ports of flows to remote backends.
pub(crate) const SNAT_PORTS: PortRange = PortRange {
    min: 45_000,
    max: 65_535,
};

/// Machines, in whose namespaces everything happens that benchmarks do. Dropping them removes them.
pub(crate) fn machines() -> Result<Testbed> {
    Testbed::build(&ClusterSpec::default())
}

/// The Node object of a machine.
pub(crate) fn object(host: &Host) -> Result<Value> {
    let address = host.spec.addresses.v4.context("the node has no IPv4 address")?;
    Ok(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": host.spec.name},
        "status": {"addresses": [{"type": "InternalIP", "address": address.to_string()}]},
    }))
}

/// The device by which a node's packets come and go.
pub(crate) fn uplink(ifindex: u32, address: Ipv4Addr) -> Device {
    Device {
        name: UPLINK.to_owned(),
        ifindex,
        addresses: vec![address.into()],
        has_default_route: true,
        up: true,
        kind: "veth".to_owned(),
    }
}

/// Tells the datapath that the node has this one address, on that device.
pub(crate) fn place(datapath: &mut Datapath, ifindex: u32, address: Ipv4Addr) -> Result<()> {
    let tables = datapath.v4_mut();
    tables.set_local(&[(address, ifindex)], &[])?;
    tables.set_snat_source(Some(address), &[(ifindex, address)])?;
    Ok(())
}

/// A datapath on a node, gone when this is dropped.
pub(crate) struct Node {
    datapath: Option<Datapath>,
    options: Options,
}

impl Node {
    /// Loads the programs, with maps of these sizes. To be called in the node's network namespace.
    pub(crate) fn start(host: &Host, sizes: Sizes) -> Result<Self> {
        let options = Options {
            cgroup_root: host.cgroup.path().to_owned(),
            bpffs_root: host.bpffs.join("kpr"),
            run_dir: host.agent_run_dir(),
            sysctl_root: PathBuf::from("/proc/sys"),
            tc: TcChoice::Auto,
        };
        let settings = Settings {
            node_ports: NODE_PORTS,
            snat_ports: SNAT_PORTS,
            socket_lb: SocketLb::All,
            bind_protection: true,
            dsr: Dsr::Off,
            dsr_dispatch: DsrDispatch::Geneve,
            least_connections: false,
            count_services: false,
            events: None,
            sizes,
        };
        let datapath = Datapath::start(&options, &settings).context("start the datapath")?;
        Ok(Self {
            datapath: Some(datapath),
            options,
        })
    }

    /// What is loaded.
    pub(crate) fn datapath(&mut self) -> Result<&mut Datapath> {
        self.datapath.as_mut().context("the datapath is gone")
    }

    /// Where it is.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.datapath = None;
        if let Err(error) = Datapath::remove(&self.options) {
            eprintln!("kpr-bench: the datapath cannot be removed: {error}");
        }
    }
}
