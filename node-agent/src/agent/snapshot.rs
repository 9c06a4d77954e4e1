//! What the agent tells the rest of the process about itself.

use std::sync::Arc;

use kpr_crds::{NodeDatapathSpec, NodeDatapathStatus};
use tokio::time::Instant;

use super::{CountedPorts, Progress, devices::Placement};
use crate::{
    cluster::Peer,
    datapath::Report,
    model::HealthCheck,
    observe::api::{Phase, Services},
    sweeper::Findings,
    takeover::Cleared,
    watch::NodeInput,
};

/// The agent at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// What it is doing.
    pub phase: Phase,
    /// The own NodeDatapath as it was last seen; none while there is none.
    pub object: Option<Object>,
    /// The configuration that is in force; none before the first.
    pub applied: Option<Applied>,
    /// What is wrong.
    pub troubles: Troubles,
    /// Where the datapath is attached; none before it is.
    pub placement: Option<Placement>,
    /// What is programmed.
    pub services: Services,
    /// What cannot be served as its owner wrote it: the first few, each in a sentence.
    pub problems: Vec<String>,
    /// Writes that the kernel refused since the start.
    pub write_failures: u64,
    /// What the datapath says.
    pub report: Report,
    /// What somebody else changed of the datapath and was put back, since the start.
    pub repairs: u64,
    /// What became of a kube-proxy's leftovers; none before they were looked for, or while they are to be kept.
    pub cleared: Option<Arc<Cleared>>,
    /// The last sweep of idle flows; none before the first.
    pub sweep: Option<Arc<Findings>>,
    /// Since when something that is wanted is not in the tables.
    pub behind_since: Option<Instant>,
    /// How each address family keeps up; empty while there is no datapath.
    pub families: Vec<Progress>,
    /// The health checks of Services, as of the last time that everything was programmed.
    pub health_checks: Arc<[HealthCheck]>,
    /// The own Node; none while there is none, or it is not known.
    pub node: Option<NodeInput>,
    /// Nodes with endpoints that do not take encapsulated packets, in order; none if DSR is not asked for.
    pub without_dsr: Option<Arc<[Arc<str>]>>,
    /// The Service ports that are counted; none if none is to be.
    pub counted: Option<Arc<CountedPorts>>,
    /// The agents of all nodes, as their Service names them.
    pub peers: Arc<[Peer]>,
}

/// The own NodeDatapath.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// `metadata.generation`.
    pub generation: i64,
    /// Fields of its spec that this version of the agent does not know.
    pub unknown_fields: Arc<[String]>,
    /// Its status, as this agent or the one before it wrote it.
    pub status: Arc<NodeDatapathStatus>,
}

/// A configuration in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// `metadata.generation` of the NodeDatapath that it came with.
    pub generation: i64,
    /// The configuration.
    pub spec: Arc<NodeDatapathSpec>,
}

/// What is wrong, each in a sentence. Several things can be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// The configuration is not taken.
    pub rejected: Option<String>,
    /// The datapath cannot be loaded.
    pub load: Option<LoadTrouble>,
    /// There are no devices to attach to.
    pub no_devices: Option<String>,
    /// The datapath cannot be attached.
    pub attach: Option<String>,
    /// The kernel refuses writes.
    pub write: Option<String>,
    /// Services do not fit: the first one's sentence, with how many others there are.
    pub full: Option<String>,
    /// New flows are refused for want of a source port.
    pub exhausted: Option<String>,
    /// Devices that were to have XDP have it not.
    pub unaccelerated: Option<String>,
    /// What a kube-proxy has left cannot be removed.
    pub leftovers: Option<String>,
    /// The datapath cannot be removed.
    pub removal: Option<String>,
    /// The NodeDatapath is gone while its configuration is in force.
    pub orphaned: Option<String>,
}

/// Why the datapath cannot be loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadTrouble {
    /// The machine lacks something, and trying again does not help.
    pub machine: bool,
    /// What to do.
    pub message: String,
}

impl Troubles {
    /// The most important one.
    pub fn first(&self) -> Option<&str> {
        let Self {
            rejected,
            load,
            no_devices,
            attach,
            write,
            full,
            exhausted,
            unaccelerated,
            leftovers,
            removal,
            orphaned,
        } = self;
        let load = load.as_ref().map(|trouble| trouble.message.as_str());
        removal
            .as_deref()
            .or(load)
            .or(rejected.as_deref())
            .or(no_devices.as_deref())
            .or(attach.as_deref())
            .or(write.as_deref())
            .or(full.as_deref())
            .or(exhausted.as_deref())
            .or(unaccelerated.as_deref())
            .or(leftovers.as_deref())
            .or(orphaned.as_deref())
    }
}

impl Snapshot {
    /// Whether a later one says nothing new but when all that was wanted was last programmed: whoever asks is told that, and nobody has to act
    /// on it.
    pub fn is_confirmed_by(&self, later: &Self) -> bool {
        let mut expected = self.clone();
        for (family, later) in expected.families.iter_mut().zip(&later.families) {
            // The first time is news.
            if family.updated.is_some() {
                family.updated = later.updated;
            }
        }
        expected == *later
    }

    /// Whether this is more than a step on the way: worth telling the API server.
    pub fn is_settled(&self) -> bool {
        let is_on_the_way = match self.phase {
            Phase::Syncing => true,
            // Services are programmed; the node or its devices are not known yet.
            Phase::Active => self.placement.is_none(),
            _ => false,
        };
        !is_on_the_way || self.troubles.first().is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_later_time_alone_is_no_news() {
        let now = Instant::now();
        let programmed = |at| Snapshot {
            families: vec![Progress {
                updated: at,
                ..Progress::new("IPv4")
            }],
            ..Snapshot::default()
        };
        let (none, first) = (programmed(None), programmed(Some(now)));
        let later = programmed(Some(now + Duration::from_secs(1)));
        assert!(first.is_confirmed_by(&later));
        assert!(!none.is_confirmed_by(&first), "the first time is news");
        assert!(!Snapshot::default().is_confirmed_by(&first), "a new family is news");
        let failed = Snapshot {
            write_failures: 1,
            ..later
        };
        assert!(!first.is_confirmed_by(&failed));
    }
}
