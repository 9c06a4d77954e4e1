//! Services, EndpointSlices, this node's Pods, the own Node and the own NodeDatapath, as typed changes on one channel. No decisions.
//!
//! Objects are cut down to what the model needs as soon as they are decoded. A list replaces what was known in one
//! change, so that a list that is read over many pages, or again after the API server lost our place, is never seen
//! half. While the API server is away nothing is sent: the last state stays.

mod api_server;
mod change;
mod client;
mod gate;
mod list;
mod own;
mod stream;
mod takers;
mod trimmed;

pub use api_server::{APIS, ApiServer};
pub use change::{Change, DatapathObject, NodeInput};
pub use client::{ConfigError, connect};
pub(crate) use stream::chain;

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::{
    Api, Client,
    runtime::watcher::{self, watcher},
};
use tokio::{sync::mpsc, task::JoinSet};

use self::trimmed::Trimmed;
use crate::{
    agent::Snapshot,
    model::input::{ServiceInput, SliceInput, WATCH_SELECTOR},
    observe::Tasks,
};

/// The agent, moment by moment.
type Snapshots = tokio::sync::watch::Receiver<Arc<Snapshot>>;

/// Starts all watches; that of other nodes whenever `snapshots` shows that it is wanted. They end when the receiver of `changes` is gone, or the set is dropped.
pub fn spawn(
    client: &Client,
    node: &str,
    tasks: &Tasks,
    api_server: &ApiServer,
    changes: &mpsc::Sender<Change>,
    snapshots: Snapshots,
) -> JoinSet<()> {
    let gate = gate::Gate::default();
    let ours = || watcher::Config::default().labels(WATCH_SELECTOR);
    let named = || watcher::Config::default().fields(&format!("metadata.name={node}"));
    let report = |name| stream::Report::new(tasks.register(name), api_server.clone());
    let mut set = JoinSet::new();
    set.spawn(stream::lists::<Trimmed<ServiceInput>>(
        watcher(Api::all(client.clone()), ours()),
        gate.clone(),
        report("watch-services"),
        changes.clone(),
    ));
    set.spawn(stream::lists::<Trimmed<SliceInput>>(
        watcher(Api::all(client.clone()), ours()),
        gate.clone(),
        report("watch-endpointslices"),
        changes.clone(),
    ));
    let bound_here = watcher::Config::default().fields(&format!("spec.nodeName={node}"));
    set.spawn(stream::lists::<Pod>(
        watcher(Api::all(client.clone()), bound_here),
        gate,
        report("watch-pods"),
        changes.clone(),
    ));
    set.spawn(stream::one::<Node>(
        watcher(Api::all(client.clone()), named()),
        report("watch-node"),
        changes.clone(),
    ));
    set.spawn(stream::one::<own::Own>(
        watcher(Api::all(client.clone()), named()),
        report("watch-nodedatapath"),
        changes.clone(),
    ));
    set.spawn(takers::follow(
        client.clone(),
        snapshots,
        tasks.clone(),
        api_server.clone(),
        changes.clone(),
    ));
    set
}
