//! One Service that is reached in every way that there is, and who led its clients.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
};

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use super::{Deployed, TCP_PORT, UDP_PORT, Vantage, Workload, client_pod, service};
use crate::{cluster::Cluster, kube_proxy::desired::Family};

/// An address of the Service that no node has; the outside finds it at node-b.
pub(super) const EXTERNAL: &str = "203.0.113.250";
/// The address that a load balancer gave it; the outside finds it at node-a.
pub(super) const BALANCED: &str = "203.0.113.251";

/// A kind of address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    ClusterIp,
    NodePort,
    ExternalIp,
    LoadBalancer,
}

/// Two pods, one on each node, behind addresses of every kind.
pub(super) struct Everywhere {
    pub(super) web: Deployed,
    pub(super) pod: Vantage,
    cluster_ip: IpAddr,
}

/// A client and where it asks.
pub(super) struct Way {
    pub(super) from: Vantage,
    pub(super) target: SocketAddr,
}

/// First packets that kube-proxy's rules have led to the Service, and what kpr's programs have led, on all nodes.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    /// By kind and port name.
    pub(super) rules: BTreeMap<(Kind, String), u64>,
    /// By the name of the counter.
    pub(super) kpr: BTreeMap<String, u64>,
}

impl Everywhere {
    /// Deploys it.
    pub(super) async fn deploy(cluster: &Cluster) -> Result<Self> {
        let mut web = Workload::named("web").node_port().deploy(cluster).await?;
        let spec = json!({"type": "LoadBalancer", "externalIPs": [EXTERNAL]});
        web.patch_service(cluster, spec).await?;
        let (client, via) = (cluster.testbed().client().clone(), cluster.node_address("node-b")?);
        // Runs `ip`: not on a thread of the runtime.
        let route = move || client.ip(&[format!("route replace {EXTERNAL} via {via}")]);
        tokio::task::spawn_blocking(route).await??;
        service::balance_load(cluster, "web", &[(BALANCED, "node-a")]).await?;
        Ok(Self {
            cluster_ip: web.cluster_ip(TCP_PORT)?.ip(),
            pod: Vantage::pod(&client_pod(cluster, "node-a").await?),
            web,
        })
    }

    /// Every way over one of its ports: each kind of address from a pod and from a node, and those that are for the outside
    /// from there, too.
    pub(super) fn ways(&self, cluster: &Cluster, port: u16) -> Result<Vec<Way>> {
        let mut targets = vec![(Kind::ClusterIp, self.web.cluster_ip(port)?)];
        for node in cluster.node_names() {
            targets.push((Kind::NodePort, self.web.node_port(cluster, &node, port)?));
        }
        targets.push((Kind::ExternalIp, SocketAddr::new(EXTERNAL.parse()?, port)));
        targets.push((Kind::LoadBalancer, SocketAddr::new(BALANCED.parse()?, port)));
        let mut ways = Vec::new();
        for (kind, target) in targets {
            for from in [self.pod.clone(), Vantage::node("node-b"), Vantage::Outside] {
                let inside_only = kind == Kind::ClusterIp && matches!(from, Vantage::Outside);
                if !inside_only {
                    ways.push(Way { from, target });
                }
            }
        }
        Ok(ways)
    }

    /// Both pods answer in every way, over TCP and UDP.
    pub(super) async fn served(&self, cluster: &Cluster) -> Result<()> {
        for port in [TCP_PORT, UDP_PORT] {
            for way in self.ways(cluster, port)? {
                self.web.served(cluster, &way.from, way.target, 2).await?;
            }
        }
        Ok(())
    }

    /// Who has led how many clients so far.
    pub(super) async fn counts(&self, cluster: &Cluster) -> Result<Counts> {
        let mut counts = Counts::default();
        for node in cluster.node_names() {
            for (destination, packets) in cluster.kube_proxy()?.hits(&node, Family::V4).await? {
                let Some(port) = destination.service.strip_prefix("default/web:") else {
                    continue;
                };
                let kind = self.kind(destination.address)?;
                *counts.rules.entry((kind, port.to_owned())).or_default() += packets;
            }
            for (reason, count) in kpr_counters(cluster, &node).await? {
                *counts.kpr.entry(reason).or_default() += count;
            }
        }
        Ok(counts)
    }

    fn kind(&self, address: Option<IpAddr>) -> Result<Kind> {
        let Some(address) = address else {
            return Ok(Kind::NodePort);
        };
        Ok(match address {
            _ if address == self.cluster_ip => Kind::ClusterIp,
            _ if address == EXTERNAL.parse::<IpAddr>()? => Kind::ExternalIp,
            _ if address == BALANCED.parse::<IpAddr>()? => Kind::LoadBalancer,
            _ => anyhow::bail!("the Service has no address {address}"),
        })
    }
}

impl Counts {
    /// What has been counted since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let less = |now: u64, then: Option<&u64>| now - then.copied().unwrap_or_default();
        let rules = self.rules.iter();
        let kpr = self.kpr.iter();
        Self {
            rules: rules
                .map(|(key, now)| (key.clone(), less(*now, before.rules.get(key))))
                .collect(),
            kpr: kpr
                .map(|(key, now)| (key.clone(), less(*now, before.kpr.get(key))))
                .collect(),
        }
    }

    /// kube-proxy's rules led clients of exactly these kinds, over each port; there are rules for all kinds.
    pub(super) fn rules_led_only(&self, kinds: &[Kind]) -> Result<()> {
        let all: BTreeSet<Kind> = self.rules.keys().map(|(kind, _port)| *kind).collect();
        ensure!(all.len() == 4, "kube-proxy should have rules for every kind: {self:?}");
        for ((kind, port), packets) in &self.rules {
            ensure!(
                (*packets > 0) == kinds.contains(kind),
                "kube-proxy's rules led {packets} clients to {kind:?} {port}: {self:?}"
            );
        }
        Ok(())
    }

    /// How often kpr counted this.
    pub(super) fn kpr(&self, reason: &str) -> u64 {
        self.kpr.get(reason).copied().unwrap_or_default()
    }

    /// Flows that kpr's programs began on the wire.
    pub(super) fn kpr_flows(&self) -> u64 {
        self.kpr("flow_to_local") + self.kpr("flow_to_remote")
    }
}

/// The kinds of frontends of the Service `web` that kpr has programmed on a node, as `kpr service list` names them.
pub(super) async fn kpr_kinds(cluster: &Cluster, web: &Everywhere, node: &str) -> Result<BTreeSet<String>> {
    let list: Value = cluster
        .kpr(node)?
        .args(["service", "list", "-o", "json"])
        .output()
        .await?
        .json()?;
    let mut kinds = BTreeSet::new();
    for entry in list.as_array().into_iter().flatten() {
        let frontend: SocketAddr = entry["frontend"].as_str().unwrap_or_default().parse()?;
        let own = [EXTERNAL.parse()?, BALANCED.parse()?, web.cluster_ip];
        if frontend.ip().is_unspecified() || own.contains(&frontend.ip()) {
            kinds.insert(entry["serviceType"].as_str().unwrap_or_default().to_owned());
        }
    }
    Ok(kinds)
}

/// kpr's counters on a node; none where it isn't installed.
async fn kpr_counters(cluster: &Cluster, node: &str) -> Result<BTreeMap<String, u64>> {
    let output = cluster.kpr(node)?.args(["status", "-o", "json"]).output().await?;
    if !output.status.success() {
        return Ok(BTreeMap::new());
    }
    let status: Value = output.json()?;
    let counters = status["counters"].as_array().into_iter().flatten();
    Ok(counters
        .filter_map(|counter| Some((counter["reason"].as_str()?.to_owned(), counter["count"].as_u64()?)))
        .collect())
}
