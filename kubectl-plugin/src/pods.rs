//! Which pods to ask.

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

use crate::{
    args::Args,
    kubectl::{self, List},
};

/// An agent's pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Pod {
    /// Its node.
    pub(crate) node: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// The image of its first container.
    pub(crate) image: Option<String>,
    /// Why it can't be asked, if it does not run.
    pub(crate) trouble: Option<String>,
}

/// A pod, as the API server has it.
#[derive(Deserialize)]
pub(crate) struct Item {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: String,
    namespace: String,
    deletion_timestamp: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    node_name: Option<String>,
    #[serde(default)]
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    image: Option<String>,
}

#[derive(Default, Deserialize)]
struct Status {
    phase: Option<String>,
}

/// The pods of the nodes that are asked for, in the order of the nodes' names.
pub(crate) async fn find(args: &Args) -> Result<Vec<Pod>> {
    let mut arguments = vec!["get", "pods", "--output", "json", "--selector", &args.selector];
    match &args.namespace {
        Some(namespace) => arguments.extend(["--namespace", namespace]),
        None => arguments.push("--all-namespaces"),
    }
    let output = kubectl::run(args, &arguments).await?;
    if !output.status.success() {
        bail!(
            "the agents' pods cannot be listed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    choose(List::read(&output.stdout, "pods")?, args)
}

/// Namespaces and names of all pods with these labels, whether they run or not.
pub(crate) async fn labelled(args: &Args, selector: &str) -> Result<Vec<(String, String)>> {
    let name = |item: Item| (item.metadata.namespace, item.metadata.name);
    Ok(list(args, selector).await?.items.into_iter().map(name).collect())
}

/// Pods with these labels that run, in any namespace.
pub(crate) async fn running(args: &Args, selector: &str) -> Result<Vec<Pod>> {
    let all = list(args, selector).await?.items.into_iter().filter_map(Pod::of);
    Ok(all.filter(|pod| pod.trouble.is_none()).collect())
}

/// The pod of this name, if there is one.
pub(crate) async fn get(args: &Args, namespace: &str, name: &str) -> Result<Option<Item>> {
    let pod = format!("pod/{name}");
    let arguments = [
        "get",
        &pod,
        "--namespace",
        namespace,
        "--ignore-not-found",
        "--output",
        "json",
    ];
    let output = kubectl::output(args, &arguments).await?;
    if output.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&output).context("kubectl's answer was not understood")
}

async fn list(args: &Args, selector: &str) -> Result<List<Item>> {
    let arguments = [
        "get",
        "pods",
        "--all-namespaces",
        "--output",
        "json",
        "--selector",
        selector,
    ];
    let output = kubectl::output(args, &arguments).await?;
    List::read(&output, "pods")
}

fn choose(list: List<Item>, args: &Args) -> Result<Vec<Pod>> {
    let mut pods: Vec<_> = list.items.into_iter().filter_map(Pod::of).collect();
    // One that is about to go may stand beside the one that comes after it.
    pods.sort_by(|a, b| (&a.node, a.trouble.is_some(), &a.name).cmp(&(&b.node, b.trouble.is_some(), &b.name)));
    pods.dedup_by(|later, first| later.node == first.node);
    ensure!(
        !pods.is_empty(),
        "no pod of an agent has the labels {:?} (--selector and --namespace name others)",
        args.selector
    );
    for node in &args.node {
        ensure!(
            pods.iter().any(|pod| pod.node == *node),
            "no agent's pod is on a node {node:?}"
        );
    }
    pods.retain(|pod| args.node.is_empty() || args.node.contains(&pod.node));
    Ok(pods)
}

impl Item {
    /// The node that it is bound to, once it is.
    pub(crate) fn node(self) -> Option<String> {
        self.spec.node_name
    }
}

impl Pod {
    /// None if it has no node yet.
    fn of(item: Item) -> Option<Self> {
        let Item { metadata, spec, status } = item;
        let phase = status.phase.unwrap_or_default();
        let trouble = if phase != "Running" {
            Some(format!("is {phase:?}"))
        } else if metadata.deletion_timestamp.is_some() {
            Some("is about to end".to_owned())
        } else {
            None
        };
        Some(Self {
            node: spec.node_name?,
            namespace: metadata.namespace,
            name: metadata.name,
            image: spec.containers.into_iter().next().and_then(|container| container.image),
            trouble,
        })
    }
}
