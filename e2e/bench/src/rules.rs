//! Rules in the shape of kube-proxy's on a node, many at a time.

use std::net::IpAddr;

use anyhow::{Context as _, Result};
use kpr_cluster::{
    kube_proxy::{
        Applied, KubeProxyMode,
        desired::{Family, NodeRules, ServicePort},
    },
    testbed::Host,
};

/// Services that are loaded at once: the kernel takes far longer for one large transaction of nftables than for many small ones.
const CHUNK: usize = 250;

/// Those of a node.
pub(crate) struct Rules {
    applied: Applied,
    /// How many Services have rules.
    loaded: usize,
}

impl Rules {
    /// None yet.
    pub(crate) fn new(host: &Host, mode: KubeProxyMode) -> Result<Self> {
        let node = NodeRules {
            family: Family::V4,
            cluster_cidr: Some("10.244.0.0/16".parse()?),
            node_ip: IpAddr::V4(host.spec.addresses.v4.context("the node has no IPv4 address")?),
            counters: false,
        };
        Ok(Self {
            applied: Applied::new(host.clone(), node, mode),
            loaded: 0,
        })
    }

    /// Loads rules for these Services, which begin with those that were loaded before.
    pub(crate) async fn load(&mut self, ports: &[ServicePort]) -> Result<()> {
        while self.loaded < ports.len() {
            self.loaded = (self.loaded + CHUNK).min(ports.len());
            self.applied.sync(&ports[..self.loaded]).await?;
        }
        Ok(())
    }
}
