//! Machines without kpr, whose nodes have rules in the shape of kube-proxy's.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use anyhow::{Context as _, Result};
use kpr_cluster::{
    kube_proxy::{
        Applied, KubeProxyMode,
        desired::{Family, NodeRules, ServicePort, generate},
    },
    testbed::Testbed,
};

use super::{NAME, SERVER, client::Client};
use crate::{node, pods::Pair};

/// Services that are loaded at once: the kernel takes far longer for one large transaction of nftables than for many small ones.
const CHUNK: usize = 250;

/// The machines, and a client in a pod of theirs.
pub(super) struct Peer {
    pub(super) client: Client,
    pods: Pair,
    rules: Applied,
    ports: Vec<ServicePort>,
    /// How many of them have rules.
    loaded: usize,
    _testbed: Testbed,
}

impl Peer {
    pub(super) async fn start(mode: KubeProxyMode) -> Result<Self> {
        let testbed = node::machines()?;
        let pods = Pair::start(&testbed, NAME, SERVER).await?;
        let host = testbed.hosts().first().context("there is no node")?;
        let node = NodeRules {
            family: Family::V4,
            cluster_cidr: Some("10.244.0.0/16".parse()?),
            node_ip: IpAddr::V4(host.spec.addresses.v4.context("the node has no IPv4 address")?),
            counters: false,
        };
        Ok(Self {
            client: Client::start(&pods.from).await?,
            rules: Applied::new(host.clone(), node, mode),
            loaded: 0,
            pods,
            ports: Vec::new(),
            _testbed: testbed,
        })
    }

    /// Ends the server; an error if it has failed.
    pub(super) async fn finish(self) -> Result<()> {
        self.pods.finish().await
    }

    /// Loads rules for so many Services, no fewer than before. The one in their middle leads to the pod: its address.
    pub(super) async fn program(&mut self, services: u32) -> Result<SocketAddrV4> {
        let middle = services / 2;
        for (index, mut port) in (0..).zip(generate(services, 1)) {
            if index == middle {
                port.endpoints.cluster = vec![SocketAddr::V4(self.pods.backend)];
            }
            match self.ports.get_mut(index as usize) {
                Some(known) if index == middle => *known = port,
                // One that leads to the pod already is of a smaller number.
                Some(_) => {}
                None => self.ports.push(port),
            }
        }
        while self.loaded < self.ports.len() {
            self.loaded = (self.loaded + CHUNK).min(self.ports.len());
            self.rules.sync(&self.ports[..self.loaded]).await?;
        }
        let port = &self.ports[middle as usize];
        match port.cluster_ip {
            IpAddr::V4(ip) => Ok(SocketAddrV4::new(ip, port.port)),
            IpAddr::V6(ip) => anyhow::bail!("{ip} is no IPv4 address"),
        }
    }
}
