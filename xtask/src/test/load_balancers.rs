//! The scenarios of the datapath again, with other load balancers than the default one.

use anyhow::Result;

use super::{
    outcome::Outcome,
    stages::{ignore, one_by_one, scenarios, tests},
};
use crate::layout::Layout;

/// What the scenarios' test targets require.
const FEATURE: &str = "kpr-cluster/privileged";

/// Which of these run again each time: what is particular to a way of balancing shows in these first.
const SCENARIOS: [&str; 4] = ["node_port", "dual_stack", "stale_flows", "conformance_policies"];
/// What shows in none of them with DSR, by which packets take other ways: pods in their node's own network, pods and their neighbours as
/// clients, a second network, SCTP, and backends that cycle under datagrams.
const SCENARIOS_OF_DSR: [&str; 3] = ["paths", "sctp", "conformance_load_balancers"];

/// Test targets that the whole matrix leaves out, since no load balancer has to do with them.
const LEFT_OUT: [(&str, &str); 4] = [
    ("testbed", "the machines, without kpr"),
    ("control_plane", "the API and its controllers, without kpr"),
    ("lifetime", "what a run of the cluster leaves behind"),
    ("wrong_input", "agents that serve nothing"),
];

/// A load balancer other than the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    Xdp,
    Maglev,
    LeastConnections,
    Dsr,
    /// XDP, Maglev, and DSR in its other encapsulation.
    Together,
}

impl Other {
    /// The title of the stage that runs some scenarios with it.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Xdp => "scenarios with XDP",
            Self::Maglev => "scenarios with Maglev",
            Self::LeastConnections => "scenarios with least connections",
            Self::Dsr => "scenarios with DSR",
            Self::Together => "scenarios with XDP, Maglev and DSR",
        }
    }

    /// The title of the stage that runs all of them.
    pub(super) fn title_of_all(self) -> &'static str {
        match self {
            Self::Xdp => "all scenarios with XDP",
            Self::Maglev => "all scenarios with Maglev",
            Self::LeastConnections => "all scenarios with least connections",
            Self::Dsr => "all scenarios with DSR",
            Self::Together => "all scenarios with XDP, Maglev and DSR",
        }
    }

    /// As `KPR_LOAD_BALANCER` has it: fields of `spec.loadBalancer`.
    fn fields(self) -> &'static str {
        match self {
            Self::Xdp => "acceleration=Native",
            Self::Maglev => "algorithm=Maglev",
            Self::LeastConnections => "algorithm=LeastConnections",
            Self::Dsr => "mode=DSR",
            Self::Together => "acceleration=Native,algorithm=Maglev,mode=DSR,dsrDispatch=IPIP",
        }
    }

    /// Runs some scenarios with it.
    pub(super) fn run(self, layout: &Layout) -> Result<Outcome> {
        let more: &[&str] = match self {
            Self::Dsr => &SCENARIOS_OF_DSR,
            _ => &[],
        };
        self.run_targets(layout, SCENARIOS.iter().chain(more).copied())
    }

    /// Runs every scenario of the datapath with it. What says itself how to balance (`dsr`, `maglev`, `xdp` and others, each in its own field)
    /// has the rest of it.
    pub(super) fn run_all(self, layout: &Layout) -> Result<Outcome> {
        let all = scenarios(layout)?;
        let own = all.iter().filter(|(feature, _)| feature == FEATURE);
        let targets = own.map(|(_, target)| target.as_str());
        let is_left_out = |target: &str| LEFT_OUT.iter().any(|(left_out, _why)| *left_out == target);
        self.run_targets(layout, targets.filter(|target| !is_left_out(target)))
    }

    fn run_targets<'t>(self, layout: &Layout, targets: impl Iterator<Item = &'t str>) -> Result<Outcome> {
        let mut command = one_by_one(layout, targets.map(|target| (FEATURE, target)));
        tests(command.env("KPR_LOAD_BALANCER", self.fields()), ignore)
    }
}
