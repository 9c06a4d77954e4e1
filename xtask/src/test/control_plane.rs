//! Tests on a real control plane.

use anyhow::Result;

use super::{
    outcome::Outcome,
    stages::{ignore, one_by_one, tests as run_tests},
};
use crate::{
    console,
    go_tools::{self, GoTool},
    layout::Layout,
    probe,
};

/// The feature of the test cluster for tests that need a real control plane.
const FEATURE: &str = "kpr-cluster/real-control-plane";

/// Test targets whose scenarios run on either control plane, and the one of the Helm chart, which needs the real one.
const SCENARIOS: [&str; 7] = [
    "control_plane",
    "cluster_ip",
    "node_port",
    "churn",
    "restart",
    "removal",
    "helm",
];

/// Build what a real control plane and its clients are. A machine without Go has none, and that is no failure of kpr.
pub(super) fn build(layout: &Layout) -> Result<Outcome> {
    if probe::on_path("go").is_none() {
        return Ok(Outcome::skipped("there is no Go on this machine (https://go.dev/dl/)"));
    }
    for tool in [GoTool::ControlPlane, GoTool::Kubectl, GoTool::Helm] {
        let built = go_tools::ready(layout, tool)?;
        console::note(&format!("{}: {}", tool.name(), built.display()));
    }
    Ok(Outcome::good())
}

/// Is there a control plane to test on?
pub(super) fn is_built(layout: &Layout) -> bool {
    probe::is_executable(&layout.tools_bin().join(GoTool::ControlPlane.name()))
}

/// Run test targets that start a real control plane by themselves.
pub(super) fn tests(layout: &Layout, targets: &[&str]) -> Result<Outcome> {
    let mut command = one_by_one(layout, targets.iter().map(|&target| (FEATURE, target)));
    run_tests(command.env("KPR_CONTROL_PLANE", "real"), ignore)
}

/// Run the scenarios of these test targets (none: of all) on a real control plane.
pub(super) fn scenarios(layout: &Layout, targets: &[String]) -> Result<Outcome> {
    let chosen: Vec<&str> = targets.iter().map(String::as_str).collect();
    tests(layout, if chosen.is_empty() { &SCENARIOS } else { &chosen })
}
