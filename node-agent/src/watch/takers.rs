//! The nodes that take encapsulated packets (DSR), as their NodeDatapaths say: watched only while DSR is asked for, since every agent hears of
//! every node, and cut down to two fields as they are decoded.

use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

use kpr_crds::{ForwardingMode, NodeDatapath, Phase};
use kube::{
    Api, Client, Resource,
    core::ObjectMeta,
    runtime::watcher::{Config, Event, watcher},
};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use super::{ApiServer, Change, stream};
use crate::{agent::Snapshot, observe::Tasks};

/// What is needed of any node's NodeDatapath.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Peer {
    metadata: ObjectMeta,
    spec: Spec,
    status: Status,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    phase: Phase,
    load_balancer: LoadBalancer,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    mode: ForwardingMode,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(rename = "takesDSR")]
    takes_dsr: bool,
}

impl Peer {
    /// Whether its node takes encapsulated packets, and goes on to do so.
    fn takes(&self) -> bool {
        self.status.takes_dsr
            && self.spec.phase == Phase::Active
            && self.spec.load_balancer.mode != ForwardingMode::Snat
    }

    fn name(&self) -> Arc<str> {
        self.metadata.name.as_deref().unwrap_or_default().into()
    }
}

impl Resource for Peer {
    type DynamicType = ();
    type Scope = <NodeDatapath as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        NodeDatapath::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        NodeDatapath::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        NodeDatapath::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        NodeDatapath::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

/// The nodes that take encapsulated packets, kept up to date. A list that is not whole yet counts for nothing.
#[derive(Debug, Default)]
struct Takers {
    known: Arc<BTreeSet<Arc<str>>>,
    /// They have been told.
    told: bool,
    listed: BTreeSet<Arc<str>>,
}

impl Takers {
    /// All of them, if they are others now.
    fn on(&mut self, event: Event<Peer>) -> Option<Change> {
        let mut now = BTreeSet::clone(&self.known);
        match event {
            Event::Init => {
                self.listed.clear();
                return None;
            }
            Event::InitApply(peer) => {
                if peer.takes() {
                    self.listed.insert(peer.name());
                }
                return None;
            }
            Event::InitDone => now = std::mem::take(&mut self.listed),
            Event::Apply(peer) if peer.takes() => {
                now.insert(peer.name());
            }
            Event::Apply(peer) | Event::Delete(peer) => {
                now.remove(&peer.name());
            }
        }
        // The first list is news, even an empty one.
        let is_first = !std::mem::replace(&mut self.told, true);
        (is_first || now != *self.known).then(|| {
            self.known = Arc::new(now);
            Change::DsrTakers(Some(Arc::clone(&self.known)))
        })
    }
}

/// Whether this node sends packets to others that must take them.
fn wants(snapshot: &Snapshot) -> bool {
    let applied = snapshot.applied.as_ref();
    applied.is_some_and(|applied| applied.spec.load_balancer.mode != ForwardingMode::Snat)
}

/// Tells of those nodes for as long as the configuration in force asks for DSR.
pub(super) async fn follow(
    client: Client,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    tasks: Tasks,
    api_server: ApiServer,
    changes: mpsc::Sender<Change>,
) {
    let mut task = None;
    loop {
        tokio::select! {
            () = changes.closed() => return,
            ended = async { snapshots.wait_for(|snapshot| wants(snapshot)).await.is_err() } => {
                if ended {
                    return changes.closed().await;
                }
            }
        }
        let task = task.get_or_insert_with(|| tasks.register("watch-dsr-nodes")).clone();
        let mut takers = Takers::default();
        let events = watcher(Api::<Peer>::all(client.clone()), Config::default());
        let report = stream::Report::new(task, api_server.clone());
        let driven = stream::drive(events, report, changes.clone(), move |event| [takers.on(event), None]);
        tokio::select! {
            () = driven => return,
            _ = async { snapshots.wait_for(|snapshot| !wants(snapshot)).await.is_err() } => {}
        }
        if changes.send(Change::DsrTakers(None)).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn peer(name: &str, mode: &str, phase: &str, takes: bool) -> Peer {
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {"policy": "all", "phase": phase, "loadBalancer": {"mode": mode, "algorithm": "Maglev"}},
            "status": {"takesDSR": takes, "devices": []},
        }))
        .unwrap()
    }

    fn names(change: Option<Change>) -> Option<Vec<String>> {
        change.map(|change| match change {
            Change::DsrTakers(takers) => takers.unwrap().iter().map(ToString::to_string).collect(),
            other => panic!("not about takers: {other:?}"),
        })
    }

    #[test]
    fn a_node_takes_packets_if_its_agent_says_so_and_nobody_wants_it_otherwise() {
        for (mode, phase, says, takes) in [
            ("DSR", "Active", true, true),
            ("Hybrid", "Active", true, true),
            ("DSR", "Active", false, false),
            ("SNAT", "Active", true, false),
            ("DSR", "Draining", true, false),
        ] {
            assert_eq!(peer("a", mode, phase, says).takes(), takes, "{mode} {phase} {says}");
        }
        let bare: Peer = serde_json::from_value(json!({"metadata": {"name": "a"}})).unwrap();
        assert!(!bare.takes());
    }

    #[test]
    fn changes_are_told_and_a_list_only_when_it_is_whole() {
        let mut takers = Takers::default();
        let yes = |name| peer(name, "DSR", "Active", true);
        let not = |name| peer(name, "DSR", "Active", false);
        assert_eq!(names(takers.on(Event::Init)), None);
        assert_eq!(names(takers.on(Event::InitApply(yes("b")))), None);
        assert_eq!(names(takers.on(Event::InitApply(not("c")))), None);
        assert_eq!(names(takers.on(Event::InitDone)).unwrap(), ["b"]);
        assert_eq!(names(takers.on(Event::Apply(yes("a")))).unwrap(), ["a", "b"]);
        assert_eq!(names(takers.on(Event::Apply(yes("a")))), None, "nothing new");
        assert_eq!(names(takers.on(Event::Apply(not("b")))).unwrap(), ["a"]);
        assert_eq!(names(takers.on(Event::Delete(yes("a")))).unwrap(), [""; 0]);
    }
}
