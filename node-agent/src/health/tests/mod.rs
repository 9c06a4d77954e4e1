//! Health of the node: what is known, what is asked, what is answered.

mod answers;
mod decisions;
mod ports;

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;
use kpr_crds::NodeDatapathSpec;
use tokio::time::Instant;

use super::Moment;
use crate::{
    agent::{Applied, NodeAddresses, Placement, Progress, Snapshot},
    model::{HealthCheck, NamespacedName},
    observe::api::Phase,
    plan::WithoutLocal,
};

/// 2026-01-02T03:04:05Z.
fn now() -> Moment {
    Moment {
        instant: Instant::now() + Duration::from_hours(24),
        time: Timestamp::from_second(1_767_323_045).unwrap(),
    }
}

/// An agent that serves IPv4, and whose NodePorts are on 127.0.0.1.
fn serving() -> Snapshot {
    let mut spec = NodeDatapathSpec::default();
    spec.node_port.addresses = vec!["localhost".into()];
    Snapshot {
        phase: Phase::Active,
        applied: Some(Applied {
            generation: 1,
            spec: Arc::new(spec),
        }),
        placement: Some(Placement {
            v4: NodeAddresses {
                local: vec![([127, 0, 0, 1].into(), 1)],
                ..NodeAddresses::default()
            },
            ..Placement::default()
        }),
        ..Snapshot::default()
    }
}

fn check(service: &str, port: u16, local_ready_endpoints: usize) -> HealthCheck {
    HealthCheck {
        service: NamespacedName::new("default", service),
        port,
        local_ready_endpoints,
    }
}

/// A family that was up to date `updated` seconds ago and for which changes wait since `pending` seconds.
fn family(now: Moment, updated: Option<u64>, pending: Option<u64>) -> Progress {
    let ago = |seconds| now.instant - Duration::from_secs(seconds);
    Progress {
        family: "IPv4",
        updated: updated.map(ago),
        pending_since: pending.map(ago),
        without_local: WithoutLocal::default(),
    }
}
