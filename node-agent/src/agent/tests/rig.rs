//! An agent on a fake kernel, and the changes that it is told.

use std::time::Duration;

use kpr_crds::{NodeDatapathSpec, Phase as Wanted, Services};
use tokio::time::Instant;

use super::fake::Kernel;
use crate::{
    agent::{Core, Snapshot},
    datapath::Sweep,
    devices::Device,
    model::tests::fixtures::{ep, slice, svc},
    observe::Tasks,
    sweeper::Findings,
    watch::{Change, DatapathObject, NodeInput},
};

/// Longer than any pause between two looks at the datapath.
const LOOK: Duration = Duration::from_secs(6);

/// One agent.
pub(crate) struct Rig {
    pub(crate) core: Core<Kernel>,
    pub(crate) now: Instant,
    pub(crate) tasks: Tasks,
}

impl Rig {
    /// An agent that has just started and knows nothing.
    pub(crate) fn starts(kernel: &Kernel) -> Self {
        let tasks = Tasks::default();
        Self {
            core: Core::new("node-a", 1 << 33, kernel.clone(), &tasks),
            now: Instant::now(),
            tasks,
        }
    }

    /// The same, that has a configuration, a Node and devices.
    pub(crate) fn configured(kernel: &Kernel) -> Self {
        let mut rig = Self::starts(kernel);
        rig.core.take_devices(vec![eth0()]);
        rig.tell([Change::Node(Some(node())), datapath(1, spec())]);
        rig
    }

    /// The same, that has also read everything: the service `web` with one endpoint.
    pub(crate) fn serving(kernel: &Kernel) -> Self {
        let mut rig = Self::configured(kernel);
        rig.tell([
            Change::Services(vec![svc("web").parse()]),
            Change::Slices(vec![slice("web-1", "web").with([ep("10.244.0.2")]).parse()]),
            Change::Synced,
        ]);
        rig.later(crate::agent::GRACE);
        rig
    }

    /// Tells the agent, and lets it work.
    pub(crate) fn tell(&mut self, changes: impl IntoIterator<Item = Change>) -> Option<Instant> {
        changes.into_iter().for_each(|change| self.core.take(change));
        self.core.work(self.now)
    }

    /// Lets it work after a while.
    pub(crate) fn later(&mut self, pause: Duration) -> Option<Instant> {
        self.now += pause;
        self.core.work(self.now)
    }

    /// Lets idle flows be swept, twice: the first of the two could have begun before what was asked last.
    pub(crate) fn swept(&mut self, kernel: &Kernel) {
        let from_pods = kernel.state().pods_have_flows;
        let encapsulated = kernel.state().dsr_has_flows;
        for _ in 0..2 {
            self.core.sweeper().report(Findings {
                v4: Sweep {
                    from_pods,
                    encapsulated,
                    ..Sweep::default()
                },
                ..Findings::default()
            });
        }
        // Once to learn it, and once more to act on it.
        self.later(LOOK);
        self.later(Duration::ZERO);
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.core.snapshot()
    }
}

pub(crate) fn eth0() -> Device {
    Device {
        name: "eth0".into(),
        ifindex: 2,
        addresses: vec!["192.168.49.2".parse().unwrap()],
        has_default_route: true,
        up: true,
        kind: String::new(),
    }
}

pub(crate) fn node() -> NodeInput {
    NodeInput {
        internal_ips: vec!["192.168.49.2".parse().unwrap()],
        ..NodeInput::default()
    }
}

/// The configuration that the operator writes for a KubeProxyReplacement without any field set.
pub(crate) fn spec() -> NodeDatapathSpec {
    NodeDatapathSpec {
        policy: "default".into(),
        policy_generation: 1,
        services: Services::ALL,
        ..NodeDatapathSpec::default()
    }
}

pub(crate) fn draining() -> NodeDatapathSpec {
    NodeDatapathSpec {
        phase: Wanted::Draining,
        ..spec()
    }
}

pub(crate) fn datapath(generation: i64, spec: NodeDatapathSpec) -> Change {
    Change::Datapath(Some(Box::new(DatapathObject {
        generation,
        spec,
        ..DatapathObject::default()
    })))
}
