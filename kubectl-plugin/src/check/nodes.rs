//! Which nodes are checked.

use std::{collections::BTreeMap, net::IpAddr};

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

use super::{
    Options,
    condition::{Condition, is_ready},
};
use crate::{
    args::Args,
    kubectl::{self, List},
    pods,
};

/// A node that is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) name: String,
    /// Its internal addresses.
    pub(super) addresses: Vec<IpAddr>,
    /// The image of what runs there.
    pub(super) image: String,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    #[serde(default)]
    status: Status,
}

#[derive(Deserialize)]
struct Metadata {
    name: String,
}

#[derive(Default, Deserialize)]
struct Status {
    #[serde(default)]
    addresses: Vec<Address>,
    #[serde(default)]
    conditions: Vec<Condition>,
}

#[derive(Deserialize)]
struct Address {
    #[serde(rename = "type")]
    kind: String,
    address: String,
}

/// Nodes that are ready and have an agent, or all that are ready if an image is named; of those, the ones that are asked for, or the first.
pub(super) async fn choose(args: &Args, options: &Options) -> Result<Vec<Node>> {
    let list = kubectl::output(args, &["get", "nodes", "--output", "json"]).await?;
    let list: List<Item> = List::read(&list, "nodes")?;
    let images = match &options.image {
        Some(_) => BTreeMap::new(),
        None => agents(args).await?,
    };
    let image = |node: &str| options.image.as_ref().or_else(|| images.get(node)).cloned();
    let mut ready: Vec<_> = list
        .items
        .into_iter()
        .filter(|item| is_ready(&item.status.conditions))
        .filter_map(|item| {
            Some(Node {
                image: image(&item.metadata.name)?,
                addresses: item.addresses(),
                name: item.metadata.name,
            })
        })
        .collect();
    ready.sort_by(|a, b| a.name.cmp(&b.name));
    for node in &args.node {
        let is_there = ready.iter().any(|ready| ready.name == *node);
        ensure!(is_there, "{node:?} is no node that is ready and has an agent");
    }
    ready.retain(|node| args.node.is_empty() || args.node.contains(&node.name));
    ensure!(!ready.is_empty(), "no node is ready and has an agent");
    if ready.len() > options.nodes.get() && args.node.is_empty() {
        eprintln!("Checking {} of {} nodes (--nodes, --node).", options.nodes, ready.len());
        ready.truncate(options.nodes.get());
    }
    Ok(ready)
}

/// The images of agents that run, by node.
async fn agents(args: &Args) -> Result<BTreeMap<String, String>> {
    let agents = pods::find(args)
        .await
        .context("--image names an image where no agent runs")?;
    let running = agents.into_iter().filter(|pod| pod.trouble.is_none());
    Ok(running.filter_map(|pod| Some((pod.node, pod.image?))).collect())
}

impl Item {
    fn addresses(&self) -> Vec<IpAddr> {
        let internal = self
            .status
            .addresses
            .iter()
            .filter(|address| address.kind == "InternalIP");
        internal.filter_map(|address| address.address.parse().ok()).collect()
    }
}
