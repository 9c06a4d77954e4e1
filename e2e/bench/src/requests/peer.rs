//! Machines without kpr, whose nodes have kube-proxy's rules, or rules in their shape.

use std::{
    net::{IpAddr, SocketAddr, SocketAddrV4},
    path::PathBuf,
};

use anyhow::{Context as _, Result};
use kpr_cluster::{
    kube_proxy::{
        KubeProxyMode,
        desired::{ServicePort, generate},
    },
    testbed::Testbed,
};

use super::{NAME, SERVER, client::Client, kube_proxy::KubeProxy};
use crate::{node, pods::Pair, rules::Rules};

/// The machines, and a client in a pod of theirs.
pub(super) struct Peer {
    pub(super) client: Client,
    pods: Pair,
    rules: By,
    ports: Vec<ServicePort>,
    _testbed: Testbed,
}

/// Who writes the rules.
enum By {
    /// This program, in the shape of kube-proxy's.
    Us(Box<Rules>),
    /// kube-proxy.
    Itself(Box<KubeProxy>),
}

impl Peer {
    /// With kube-proxy itself, if its program is given.
    pub(super) async fn start(mode: KubeProxyMode, program: Option<PathBuf>) -> Result<Self> {
        let testbed = node::machines()?;
        let pods = Pair::start(&testbed, NAME, SERVER).await?;
        let host = testbed.hosts().first().context("there is no node")?;
        Ok(Self {
            client: Client::start(&pods.from).await?,
            rules: match program {
                None => By::Us(Box::new(Rules::new(host, mode)?)),
                Some(program) => By::Itself(Box::new(KubeProxy::new(host, mode, program)?)),
            },
            pods,
            ports: Vec::new(),
            _testbed: testbed,
        })
    }

    /// Ends the server; an error if it has failed.
    pub(super) async fn finish(mut self) -> Result<()> {
        if let By::Itself(kube_proxy) = &mut self.rules {
            kube_proxy.stop().await?;
        }
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
        match &mut self.rules {
            By::Us(rules) => rules.load(&self.ports).await?,
            By::Itself(kube_proxy) => kube_proxy.load(&self.ports).await?,
        }
        let port = &self.ports[middle as usize];
        match port.cluster_ip {
            IpAddr::V4(ip) => Ok(SocketAddrV4::new(ip, port.port)),
            IpAddr::V6(ip) => anyhow::bail!("{ip} is no IPv4 address"),
        }
    }
}
