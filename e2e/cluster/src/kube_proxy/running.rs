//! kube-proxy on every node: watches, applies, and answers.

use std::{collections::BTreeMap, pin::pin, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, anyhow};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::{core::v1::Service, discovery::v1::EndpointSlice};
use kube::{
    Api, Client, ResourceExt,
    runtime::{WatchStreamExt as _, watcher, watcher::Event},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};

use super::{
    KubeProxyMode, answers, apply,
    apply::Applied,
    counters::Hits,
    desired::{Family, NodeRules, ServicePort, read},
};
use crate::testbed::{Host, Testbed};

/// What kube-proxy does not watch: Services of other proxies, and headless ones.
const SELECTOR: &str = "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless";
/// How long changes gather.
const GATHER: Duration = Duration::from_millis(20);
/// Before a sync that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How long the first sync may take: ten thousand Services take tens of seconds.
const PATIENCE: Duration = Duration::from_mins(5);

/// kube-proxies that run. Dropping it ends them, and leaves their rules.
#[derive(Debug)]
pub struct Running {
    mode: KubeProxyMode,
    hosts: Vec<Host>,
    nodes: Vec<OnNode>,
}

/// kube-proxy on one node. Dropping it ends it, and leaves its rules.
#[derive(Debug)]
pub(super) struct OnNode {
    name: String,
    tasks: JoinSet<()>,
    synced: watch::Receiver<bool>,
}

impl OnNode {
    /// Starts it.
    pub(super) fn start(
        testbed: &Testbed,
        host: &Host,
        mode: KubeProxyMode,
        client: Client,
        extra: Arc<Vec<ServicePort>>,
    ) -> Self {
        let applied = families(host)
            .into_iter()
            .map(|family| Applied::new(host.clone(), node_rules(testbed, host, family), mode))
            .collect();
        let (sender, synced) = watch::channel(false);
        let name = host.spec.name.clone();
        let proxy = Proxy {
            node: name.clone(),
            applied,
            extra,
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            synced: sender,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(proxy.run(client));
        let (host, node) = (host.clone(), name.clone());
        tasks.spawn(async move {
            if let Err(error) = answers::serve(host, mode).await {
                tracing::error!("kube-proxy of {node}: {error:#}");
            }
        });
        Self { name, tasks, synced }
    }

    /// Waits until it has programmed what there is.
    pub(super) async fn synced(&mut self) -> Result<()> {
        let node = &self.name;
        timeout(PATIENCE, self.synced.wait_for(|synced| *synced))
            .await
            .map_err(|_elapsed| anyhow!("kube-proxy of {node} has programmed nothing within {PATIENCE:?}"))?
            .with_context(|| format!("kube-proxy of {node} ended"))?;
        Ok(())
    }

    /// Ends it. Its rules stay.
    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

impl Running {
    /// Starts one per node, and returns when each has programmed what there is. `client` makes a client for a node's;
    /// `extra` are ports beside those of the cluster, for benchmarks.
    pub async fn start(
        testbed: &Testbed,
        mode: KubeProxyMode,
        client: impl Fn(&str) -> Result<Client>,
        extra: Vec<ServicePort>,
    ) -> Result<Self> {
        let extra = Arc::new(extra);
        let start = |host: &Host| {
            let client = client(&host.spec.name)?;
            Ok(OnNode::start(testbed, host, mode, client, Arc::clone(&extra)))
        };
        let mut nodes = testbed.hosts().iter().map(start).collect::<Result<Vec<OnNode>>>()?;
        for node in &mut nodes {
            node.synced().await?;
        }
        Ok(Self {
            mode,
            hosts: testbed.hosts().to_vec(),
            nodes,
        })
    }

    /// Which part of netfilter they program.
    pub fn mode(&self) -> KubeProxyMode {
        self.mode
    }

    /// Ends them. Their rules stay and go on to serve, as after the deletion of the DaemonSet.
    pub async fn stop(self) {
        for node in self.nodes {
            node.stop().await;
        }
    }

    /// Ends them and takes their rules away.
    pub async fn stop_and_clean_up(self) -> Result<()> {
        for node in self.nodes {
            node.stop().await;
        }
        for host in &self.hosts {
            apply::cleanup(host, self.mode, &families(host)).await?;
        }
        Ok(())
    }

    /// How many connections the rules on `node` have led, in the family.
    pub async fn hits(&self, node: &str, family: Family) -> Result<Hits> {
        let host = self.hosts.iter().find(|host| host.spec.name == node);
        apply::hits(
            host.with_context(|| format!("there is no node {node}"))?,
            self.mode,
            family,
        )
        .await
    }
}

fn families(host: &Host) -> Vec<Family> {
    let addresses = host.spec.addresses;
    let there = |family: &Family| addresses.iter().any(|address| family.has(address));
    Family::ALL.into_iter().filter(there).collect()
}

/// What the rules of one family depend on: the addresses of this node, and of all pods.
pub fn node_rules(testbed: &Testbed, host: &Host, family: Family) -> NodeRules {
    let cidrs = testbed.spec().nodes.iter().flat_map(|node| node.pod_cidrs.iter());
    let cidrs: Vec<ipnet::IpNet> = cidrs.filter(|cidr| family.has(cidr.addr())).collect();
    let own = host.spec.addresses.iter().find(|address| family.has(*address));
    NodeRules {
        family,
        cluster_cidr: smallest_around(&cidrs),
        node_ip: own.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()),
        counters: true,
    }
}

/// The smallest prefix that has all of these in it.
fn smallest_around(cidrs: &[ipnet::IpNet]) -> Option<ipnet::IpNet> {
    let mut around = *cidrs.first()?;
    while !cidrs.iter().all(|cidr| around.contains(cidr)) {
        around = around.supernet()?;
    }
    Some(around)
}

/// One node's.
struct Proxy {
    node: String,
    applied: Vec<Applied>,
    extra: Arc<Vec<ServicePort>>,
    services: BTreeMap<String, Service>,
    slices: BTreeMap<String, EndpointSlice>,
    synced: watch::Sender<bool>,
}

impl Proxy {
    async fn run(mut self, client: Client) {
        let mut services = pin!(watch_all::<Service>(&client));
        let mut slices = pin!(watch_all::<EndpointSlice>(&client));
        // Nothing is programmed before both have been listed: what is not seen yet is not gone.
        let (mut services_listed, mut slices_listed) = (false, false);
        let mut due: Option<Instant> = None;
        loop {
            let ready = services_listed && slices_listed;
            tokio::select! {
                Some(event) = services.next() => services_listed |= take(&mut self.services, event),
                Some(event) = slices.next() => slices_listed |= take(&mut self.slices, event),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if ready && due.is_some() => {
                    due = self.sync().await.err().map(|error| {
                        tracing::error!("kube-proxy of {}: {error:#}", self.node);
                        Instant::now() + RETRY
                    });
                    self.synced.send_replace(due.is_none());
                    continue;
                }
                else => return,
            }
            due.get_or_insert_with(|| Instant::now() + GATHER);
        }
    }

    async fn sync(&mut self) -> Result<()> {
        let slices: Vec<&EndpointSlice> = self.slices.values().collect();
        for applied in &mut self.applied {
            let mut ports = read(self.services.values(), &slices, applied.family(), &self.node);
            let extra = self.extra.iter().filter(|port| applied.family().has(port.cluster_ip));
            ports.extend(extra.cloned());
            applied.sync(&ports).await?;
        }
        Ok(())
    }
}

fn watch_all<K>(client: &Client) -> impl Stream<Item = watcher::Result<Event<K>>> + use<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    watcher(Api::all(client.clone()), watcher::Config::default().labels(SELECTOR)).default_backoff()
}

/// Takes note of an event. True once everything was listed.
fn take<K: ResourceExt>(known: &mut BTreeMap<String, K>, event: watcher::Result<Event<K>>) -> bool {
    let key = |object: &K| format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any());
    match event {
        Ok(Event::Init) => known.clear(),
        Ok(Event::InitApply(object) | Event::Apply(object)) => {
            known.insert(key(&object), object);
        }
        Ok(Event::Delete(object)) => {
            known.remove(&key(&object));
        }
        Ok(Event::InitDone) => return true,
        Err(error) => tracing::warn!("a watch of kube-proxy: {error}"),
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_of_all_nodes_are_inside_of_the_cluster_cidr() {
        let cidrs = ["10.244.0.0/24", "10.244.1.0/24", "10.244.2.0/24"].map(|cidr| cidr.parse().unwrap());
        assert_eq!(smallest_around(&cidrs), "10.244.0.0/22".parse().ok());
        assert_eq!(smallest_around(&cidrs[..1]), Some(cidrs[0]));
        assert_eq!(smallest_around(&[]), None);
    }
}
