//! The scenarios of the datapath again, with other load balancers than the default one.

use anyhow::Result;

use super::{
    outcome::Outcome,
    stages::{ignore, one_by_one, tests},
};
use crate::layout::Layout;

/// Which test targets run again: all that is particular to a way of balancing shows in these. The others run too with
/// `KPR_LOAD_BALANCER=… cargo xtask test --only e2e`.
const SCENARIOS: [&str; 4] = ["node_port", "dual_stack", "stale_flows", "conformance_policies"];

/// A load balancer other than the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Other {
    Xdp,
    Maglev,
    LeastConnections,
}

impl Other {
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Xdp => "scenarios with XDP",
            Self::Maglev => "scenarios with Maglev",
            Self::LeastConnections => "scenarios with least connections",
        }
    }

    /// As `KPR_LOAD_BALANCER` has it: fields of `spec.loadBalancer`.
    fn fields(self) -> &'static str {
        match self {
            Self::Xdp => "acceleration=Native",
            Self::Maglev => "algorithm=Maglev",
            Self::LeastConnections => "algorithm=LeastConnections",
        }
    }

    /// Runs the scenarios with it.
    pub(super) fn run(self, layout: &Layout) -> Result<Outcome> {
        let mut command = one_by_one(layout, SCENARIOS.map(|target| ("kpr-cluster/privileged", target)));
        tests(command.env("KPR_LOAD_BALANCER", self.fields()), ignore)
    }
}
