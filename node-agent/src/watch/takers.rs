//! The nodes that take encapsulated packets (DSR), as their NodeDatapaths say: watched only while DSR is asked for, since every agent hears of
//! every node, and cut down to two fields as they are decoded.

use std::{collections::BTreeSet, sync::Arc};

use kpr_crds::{ForwardingMode, NodeDatapath, Phase};
use kube::{
    Api, Client,
    runtime::watcher::{Config, Event, watcher},
};
use serde::Deserialize;
use tokio::sync::{mpsc, watch};

use super::{
    ApiServer, Change, stream,
    trimmed::{Trim, Trimmed},
};
use crate::{
    agent::Snapshot,
    model::input::{InputError, raw::Meta},
    observe::Tasks,
};

/// A node, and whether it takes encapsulated packets and goes on to do so.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Peer {
    name: Arc<str>,
    takes: bool,
}

/// What is read of any node's NodeDatapath.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Read<'a> {
    #[serde(borrow)]
    metadata: Meta<'a>,
    spec: Spec,
    status: Status,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    phase: Phase,
    load_balancer: LoadBalancer,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LoadBalancer {
    mode: ForwardingMode,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    #[serde(rename = "takesDSR")]
    takes_dsr: bool,
}

impl Trim for Peer {
    type Kind = NodeDatapath;
    type Raw<'a> = Read<'a>;

    fn meta<'r>(raw: &'r Read<'_>) -> &'r Meta<'r> {
        &raw.metadata
    }

    fn trim(raw: &Read<'_>) -> Result<Self, InputError> {
        Ok(Self {
            name: raw.metadata.name()?.into(),
            takes: raw.status.takes_dsr
                && raw.spec.phase == Phase::Active
                && raw.spec.load_balancer.mode != ForwardingMode::Snat,
        })
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
    fn on(&mut self, event: Event<Trimmed<Peer>>) -> Option<Change> {
        let mut now = BTreeSet::clone(&self.known);
        match event {
            Event::Init => {
                self.listed.clear();
                return None;
            }
            Event::InitApply(peer) => {
                let takers = peer.input.ok().filter(|peer| peer.takes);
                self.listed.extend(takers.map(|peer| peer.name));
                return None;
            }
            Event::InitDone => now = std::mem::take(&mut self.listed),
            Event::Apply(peer) => match peer.input {
                Ok(Peer { name, takes: true }) => {
                    now.insert(name);
                }
                Ok(peer) => {
                    now.remove(&peer.name);
                }
                Err(_) => {}
            },
            Event::Delete(peer) => {
                if let Ok(gone) = peer.input {
                    now.remove(&gone.name);
                }
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
        let events = watcher(Api::<Trimmed<Peer>>::all(client.clone()), Config::default());
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

    fn peer(name: &str, mode: &str, phase: &str, takes: bool) -> Trimmed<Peer> {
        trimmed(&json!({
            "metadata": {"name": name},
            "spec": {"policy": "all", "phase": phase, "loadBalancer": {"mode": mode, "algorithm": "Maglev"}},
            "status": {"takesDSR": takes, "devices": []},
        }))
    }

    /// As it is decoded from text: a part is borrowed.
    fn trimmed(object: &serde_json::Value) -> Trimmed<Peer> {
        serde_json::from_str(&object.to_string()).unwrap()
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
            assert_eq!(
                peer("a", mode, phase, says).input.unwrap().takes,
                takes,
                "{mode} {phase} {says}"
            );
        }
        assert!(!trimmed(&json!({"metadata": {"name": "a"}})).input.unwrap().takes);
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
