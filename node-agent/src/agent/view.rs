//! The agent's answers to the local API, put together from what each part last said.

use std::sync::Arc;

use jiff::Timestamp;
use kpr_abi::{Family as _, V4, V6};
use tokio::sync::watch;

use super::{Snapshot, details};
use crate::{
    cluster::{Asked, ClusterHealth},
    datapath,
    health::{Moment, ProxyHealth},
    observe::{
        Health, Source, Tasks,
        api::{self, Phase, STATUS_VERSION, Status},
    },
    sweeper::Findings,
    takeover::Cleared,
    watch::ApiServer,
};

/// Where the local API takes its answers from.
#[derive(Clone, Debug)]
pub struct View {
    /// Name of the Node.
    pub node: String,
    /// `uname -r`.
    pub kernel: String,
    /// When this process started.
    pub started: Timestamp,
    /// The agent itself.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// The background tasks.
    pub tasks: Tasks,
    /// The API server.
    pub api_server: ApiServer,
    /// What the agents of other nodes say.
    pub cluster: watch::Receiver<Arc<ClusterHealth>>,
}

impl Source for View {
    fn status(&self, now: Timestamp) -> Status {
        let snapshot = self.snapshots.borrow().clone();
        let applied = snapshot.applied.as_ref();
        let report = &snapshot.report;
        let loaded = snapshot.phase == Phase::Active || snapshot.phase == Phase::Syncing;
        Status {
            api_version: STATUS_VERSION.to_owned(),
            node: self.node.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.started,
            now,
            kubernetes: self.api_server.state(),
            policy: applied.map(|applied| api::Policy {
                name: applied.spec.policy.clone(),
                generation: applied.spec.policy_generation,
                mode: applied.spec.mode.as_str().to_owned(),
            }),
            phase: snapshot.phase,
            message: snapshot.troubles.first().map(str::to_owned),
            services: snapshot.services,
            problems: snapshot.problems.clone(),
            devices: devices(&snapshot),
            details: applied
                .filter(|_| loaded)
                .map(|applied| details(&applied.spec, snapshot.placement.as_ref(), report)),
            attachments: report
                .attachments
                .iter()
                .map(|attachment| api::Attachment {
                    program: attachment.program.clone(),
                    hook: attachment.hook.to_owned(),
                    target: attachment.target.clone(),
                })
                .collect(),
            kernel: api::Kernel {
                release: self.kernel.clone(),
                features: report.features.clone(),
            },
            maps: report
                .maps
                .iter()
                .map(|map| api::Map {
                    name: map.name.clone(),
                    size: map.capacity,
                    used: map.entries,
                })
                .collect(),
            counters: report
                .counters
                .iter()
                .map(|counter| api::Counter {
                    reason: counter.reason.to_owned(),
                    count: counter.count,
                })
                .collect(),
            leftovers: snapshot.cleared.as_deref().and_then(leftovers),
            sweep: snapshot.sweep.as_deref().map(sweep),
            map_writes: report.map_writes,
            repairs: snapshot.repairs,
            tasks: self.tasks.list(),
            cluster: cluster(&self.cluster.borrow()),
        }
    }

    fn health(&self, _: Timestamp) -> Health {
        let snapshot = self.snapshots.borrow().clone();
        let healthy = ProxyHealth::of(&snapshot, Moment::now()).healthy;
        Health {
            healthy,
            message: (!healthy).then(|| {
                let trouble = snapshot.troubles.first().unwrap_or("changes wait to be programmed");
                trouble.to_owned()
            }),
        }
    }
}

/// None while no other agent is known.
fn cluster(health: &ClusterHealth) -> Option<api::Cluster> {
    let node = |asked: &Asked| api::ClusterNode {
        name: asked.peer.node.to_string(),
        address: asked.peer.address.ip(),
        own: asked.own,
        reachable: asked.answer.is_ok(),
        serves: asked.answer.as_ref().is_ok_and(|answer| answer.serves),
        took_us: asked
            .answer
            .as_ref()
            .ok()
            .map(|answer| u64::try_from(answer.took.as_micros()).unwrap_or(u64::MAX)),
        message: asked.answer.as_ref().err().cloned(),
    };
    let at = health.at.filter(|_| !health.asked.is_empty())?;
    Some(api::Cluster {
        at,
        known: u32::try_from(health.known).unwrap_or(u32::MAX),
        nodes: health.asked.iter().map(node).collect(),
    })
}

/// What was taken away of a kube-proxy, and what stays.
fn leftovers(cleared: &Cleared) -> Option<String> {
    let removed = (!cleared.removed.is_empty()).then(|| format!("removed: {}", cleared.removed.join(", ")));
    let parts: Vec<_> = removed
        .into_iter()
        .chain(cleared.why_kept())
        .chain(cleared.trouble())
        .collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

fn sweep(findings: &Findings) -> api::Sweep {
    let table = |family: &str, sweep: &datapath::Sweep| api::SweptTable {
        family: family.to_owned(),
        live: sweep.live,
        expired: sweep.expired,
        fullest: sweep.fullest.map(|fullest| api::SnatUse {
            backend: fullest.to_string(),
            ports: fullest.ports,
        }),
    };
    api::Sweep {
        at: findings.at,
        took_ms: u64::try_from(findings.took.as_millis()).unwrap_or(u64::MAX),
        interval_seconds: findings.pause.as_secs(),
        tables: vec![table(V4::NAME, &findings.v4), table(V6::NAME, &findings.v6)],
    }
}

fn devices(snapshot: &Snapshot) -> Vec<api::Device> {
    let Some(placement) = &snapshot.placement else {
        return Vec::new();
    };
    let direct = placement.selection.direct_routing.as_deref();
    placement
        .selection
        .devices
        .iter()
        .map(|device| api::Device {
            name: device.name.clone(),
            addresses: device.addresses.clone(),
            direct_routing: direct == Some(device.name.as_str()),
        })
        .collect()
}
