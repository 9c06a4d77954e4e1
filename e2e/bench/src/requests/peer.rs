//! Machines without kpr, whose nodes have rules in the shape of kube-proxy's.

use std::net::{IpAddr, SocketAddr, SocketAddrV4};

use anyhow::{Context as _, Result};
use kpr_cluster::{
    kube_proxy::{
        KubeProxyMode,
        desired::{ServicePort, generate},
    },
    testbed::Testbed,
};

use super::{NAME, SERVER, client::Client};
use crate::{node, pods::Pair, rules::Rules};

/// The machines, and a client in a pod of theirs.
pub(super) struct Peer {
    pub(super) client: Client,
    pods: Pair,
    rules: Rules,
    ports: Vec<ServicePort>,
    _testbed: Testbed,
}

impl Peer {
    pub(super) async fn start(mode: KubeProxyMode) -> Result<Self> {
        let testbed = node::machines()?;
        let pods = Pair::start(&testbed, NAME, SERVER).await?;
        let host = testbed.hosts().first().context("there is no node")?;
        Ok(Self {
            client: Client::start(&pods.from).await?,
            rules: Rules::new(host, mode)?,
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
        self.rules.load(&self.ports).await?;
        let port = &self.ports[middle as usize];
        match port.cluster_ip {
            IpAddr::V4(ip) => Ok(SocketAddrV4::new(ip, port.port)),
            IpAddr::V6(ip) => anyhow::bail!("{ip} is no IPv4 address"),
        }
    }
}
