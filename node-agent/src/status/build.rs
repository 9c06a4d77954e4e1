//! The whole status of the own NodeDatapath.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpr_crds::{
    Counts, DeviceStatus, ForwardingMode, KernelFeature, KernelStatus, MapStatus, NodeDatapathStatus, Programming,
    conditions,
};

use super::{KubeProxy, observations};
use crate::{agent::Snapshot, observe::api::Phase};

/// What stays the same while the agent runs.
#[derive(Clone, Debug)]
pub struct Agent {
    /// Its version.
    pub version: String,
    /// `uname -r`.
    pub kernel: String,
    /// When it started.
    pub started: Timestamp,
}

/// What the API server shall know. `before`: what it was told last, by this agent or the one before it. Transition times of its conditions
/// live on, and so does what this agent can't tell yet.
pub fn build(
    agent: &Agent,
    snapshot: &Snapshot,
    kube_proxy: &KubeProxy,
    before: &NodeDatapathStatus,
    now: Timestamp,
) -> NodeDatapathStatus {
    let seen = snapshot.object.as_ref().map(|object| object.generation);
    let applied = snapshot.applied.as_ref();
    NodeDatapathStatus {
        observed_generation: applied.map(|applied| applied.generation),
        policy_generation: applied.map(|applied| applied.spec.policy_generation),
        agent_version: Some(agent.version.clone()),
        unknown_fields: snapshot
            .object
            .as_ref()
            .map_or_else(Vec::new, |object| object.unknown_fields.to_vec()),
        takes_dsr: takes_dsr(snapshot, before.takes_dsr),
        conditions: conditions::apply(&before.conditions, observations(snapshot, kube_proxy), seen, now),
        kernel: Some(KernelStatus {
            release: agent.kernel.clone(),
            features: snapshot.report.features.iter().map(|text| feature(text)).collect(),
        }),
        devices: devices(snapshot),
        maps: maps(snapshot),
        counts: Some(Counts {
            services: snapshot.services.services,
            frontends: snapshot.services.frontends,
            backends: snapshot.services.backends,
        }),
        programming: Some(Programming {
            started_at: Some(Time(whole_seconds(agent.started))),
            map_writes: snapshot.report.map_writes,
            failures: snapshot.write_failures,
        }),
    }
}

/// Whether the programs take encapsulated packets, on every device, and know the endpoints that are here; and the kernel lets what is in
/// them pass, whichever way they come. While an agent starts, the programs of the one before it go on as before: other nodes would send this
/// one nothing encapsulated for a moment, and change every backend that is here twice.
fn takes_dsr(snapshot: &Snapshot, before: bool) -> bool {
    let starts = match snapshot.phase {
        Phase::Waiting | Phase::Syncing => true,
        // Devices are not known yet.
        Phase::Active => snapshot.placement.is_none() && snapshot.troubles.attach.is_none(),
        Phase::Failed | Phase::Draining | Phase::Removed => false,
    };
    if starts {
        return before;
    }
    let applied = snapshot.applied.as_ref();
    let asked = applied.is_some_and(|applied| applied.spec.load_balancer.mode != ForwardingMode::Snat);
    asked
        && snapshot.phase == Phase::Active
        && snapshot.placement.is_some()
        && snapshot.report.strict_tunnels.is_empty()
}

/// The status without what changes all the time: a difference here is worth a write soon.
pub(super) fn significant(status: &NodeDatapathStatus) -> NodeDatapathStatus {
    NodeDatapathStatus {
        maps: Vec::new(),
        counts: None,
        programming: None,
        ..status.clone()
    }
}

fn devices(snapshot: &Snapshot) -> Vec<DeviceStatus> {
    let Some(placement) = &snapshot.placement else {
        return Vec::new();
    };
    let direct = placement.selection.direct_routing.as_deref();
    placement
        .selection
        .devices
        .iter()
        .map(|device| DeviceStatus {
            name: device.name.clone(),
            addresses: device
                .addresses
                .iter()
                .filter(|ip| placement.serves(**ip))
                .map(ToString::to_string)
                .collect(),
            hooks: snapshot
                .report
                .attachments
                .iter()
                .filter(|attachment| attachment.target == device.name)
                .map(|attachment| format!("{}/{}", attachment.hook, attachment.program))
                .collect(),
            direct_routing: direct == Some(device.name.as_str()),
        })
        .collect()
}

/// Maps whose fill is not known are left out: the API has no way to say so.
fn maps(snapshot: &Snapshot) -> Vec<MapStatus> {
    let filled = |map: &crate::datapath::MapFill| {
        Some(MapStatus {
            name: map.name.clone(),
            capacity: map.capacity,
            entries: map.entries?,
        })
    };
    snapshot.report.maps.iter().filter_map(filled).collect()
}

/// The datapath says what it chose and, where it fell back, what newer kernel has the better way.
fn feature(text: &str) -> KernelFeature {
    const LONGEST: usize = 64;
    KernelFeature {
        name: text.chars().take(LONGEST).collect(),
        found: !text.contains(" needs Linux"),
    }
}

fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}
