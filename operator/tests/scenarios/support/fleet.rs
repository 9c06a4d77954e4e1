//! Agents of every node, which do their work by themselves.
//!
//! An agent that is told another configuration stops serving, takes a moment, and serves again, unless it was agreed that
//! it does not get ready with that configuration. Configurations are told by the timeout of session affinity.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use kpr_crds::conditions::{NodeCondition, NodeReason};
use kpr_crds::{NodeDatapath, Phase};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::task::JoinHandle;

use super::agent::{said, status, write};

/// How long a change takes.
const WORK: Duration = Duration::from_millis(30);

/// Agents that run. Dropping it ends them.
pub(crate) struct Fleet {
    nodes: Arc<Mutex<Nodes>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Nodes {
    /// The configuration that each node serves with, or tries to.
    told: BTreeMap<String, u32>,
    /// Nodes that do not serve.
    out: BTreeSet<String>,
    /// The most that did not serve at a time because of a change.
    most_out: usize,
    /// What nodes say of a configuration that they can't serve with; without words, they are never heard of again.
    bad: BTreeMap<(String, u32), Option<&'static str>>,
}

impl Fleet {
    pub(super) fn start(datapaths: Api<NodeDatapath>) -> Self {
        let nodes = Arc::<Mutex<Nodes>>::default();
        let task = tokio::spawn(run(datapaths, Arc::clone(&nodes)));
        Self { nodes, task }
    }

    /// The node will say this when it is told the configuration with this timeout.
    pub(crate) fn fails_with(&self, node: &str, timeout: u32, words: &'static str) {
        let key = (node.to_owned(), timeout);
        self.nodes.lock().expect("nodes").bad.insert(key, Some(words));
    }

    /// The node will not be heard of any more when it is told the configuration with this timeout.
    pub(crate) fn is_silent_with(&self, node: &str, timeout: u32) {
        let key = (node.to_owned(), timeout);
        self.nodes.lock().expect("nodes").bad.insert(key, None);
    }

    /// The most nodes that were out of service at a time because they were told another configuration.
    pub(crate) fn most_out(&self) -> usize {
        self.nodes.lock().expect("nodes").most_out
    }

    /// Nodes that are out of service.
    pub(crate) fn out(&self) -> Vec<String> {
        self.nodes.lock().expect("nodes").out.iter().cloned().collect()
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(datapaths: Api<NodeDatapath>, nodes: Arc<Mutex<Nodes>>) {
    let events = watcher(datapaths.clone(), watcher::Config::default()).default_backoff();
    let mut objects = pin!(events.applied_objects());
    let mut seen = BTreeMap::new();
    while let Some(object) = objects.next().await {
        let Ok(object) = object else { continue };
        let generation = (object.uid(), object.metadata.generation);
        if seen.insert(object.name_any(), generation.clone()) != Some(generation) {
            tokio::spawn(takes_in(datapaths.clone(), Arc::clone(&nodes), object));
        }
    }
}

/// What an agent does with a new spec.
async fn takes_in(datapaths: Api<NodeDatapath>, nodes: Arc<Mutex<Nodes>>, object: NodeDatapath) {
    let name = object.name_any();
    let report = async |type_, holds, reason, message: &str| {
        let status = status(&object, &[said(type_, holds, reason, message)]);
        write(&datapaths, &object, &serde_json::to_value(status).expect("JSON")).await;
    };
    if object.spec.phase == Phase::Draining {
        report(NodeCondition::Removed, true, NodeReason::Removed.as_str(), "").await;
        return;
    }
    let timeout = object.spec.session_affinity.default_timeout_seconds;
    let changes = {
        let mut nodes = nodes.lock().expect("nodes");
        let before = nodes.told.insert(name.clone(), timeout);
        let changes = before != Some(timeout);
        if changes && before.is_some() {
            nodes.out.insert(name.clone());
            nodes.most_out = nodes.most_out.max(nodes.out.len());
        }
        changes
    };
    if changes {
        report(NodeCondition::Ready, false, NodeReason::Starting.as_str(), "starting").await;
        tokio::time::sleep(WORK).await;
    }
    let bad = {
        let mut nodes = nodes.lock().expect("nodes");
        if nodes.told.get(&name) != Some(&timeout) {
            // It was told yet another one meanwhile.
            return;
        }
        let bad = nodes.bad.get(&(name.clone(), timeout)).copied();
        if bad.is_none() {
            nodes.out.remove(&name);
        }
        bad
    };
    match bad {
        None => report(NodeCondition::Ready, true, NodeReason::Serving.as_str(), "").await,
        Some(Some(words)) => report(NodeCondition::Ready, false, NodeReason::AttachFailed.as_str(), words).await,
        Some(None) => {}
    }
}
