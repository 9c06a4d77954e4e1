//! Whether changes are programmed as they come: what kube-proxy calls the health of its proxiers.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;

use super::Moment;
use crate::{agent::Snapshot, observe::api::Phase};

/// How long a change may wait to be programmed: twice kube-proxy's default `syncPeriod`.
pub const HEALTH_TIMEOUT: Duration = Duration::from_mins(1);

/// Health of the proxy as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyHealth {
    /// When a family was last brought up to date; none before the first time.
    pub last_updated: Option<Timestamp>,
    /// No family is too late.
    pub healthy: bool,
    /// By name of the family. A family that was never up to date is starting, and does not count.
    pub families: BTreeMap<&'static str, FamilyHealth>,
}

/// Health of one address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FamilyHealth {
    /// When everything that was wanted was last programmed.
    pub last_updated: Timestamp,
    /// No change has been waiting for [`HEALTH_TIMEOUT`].
    pub healthy: bool,
}

impl ProxyHealth {
    /// Starting and up to date are healthy, as in kube-proxy. An agent that cannot serve at all is not: kube-proxy would
    /// have ended, and nobody would answer in its place.
    pub fn of(snapshot: &Snapshot, now: Moment) -> Self {
        let families: BTreeMap<_, _> = snapshot
            .families
            .iter()
            .filter_map(|progress| {
                let waits = |since| now.instant.saturating_duration_since(since);
                let health = FamilyHealth {
                    last_updated: now.time_of(progress.updated?),
                    healthy: progress.pending_since.is_none_or(|since| waits(since) < HEALTH_TIMEOUT),
                };
                Some((progress.family, health))
            })
            .collect();
        Self {
            last_updated: families.values().map(|family| family.last_updated).max(),
            healthy: snapshot.phase != Phase::Failed && families.values().all(|family| family.healthy),
            families,
        }
    }
}
