//! Carrying out one stage.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{
    conformance, control_plane,
    leftovers::Leftovers,
    outcome::Outcome,
    plan::Stage,
    results::{Counts, Verdicts},
};
use crate::{
    build, console, image, instructions,
    layout::Layout,
    probe, process,
    toolchain::{self, ToolchainChoice},
};

/// The feature that test targets require if they need root and eBPF.
const PRIVILEGED: &str = "privileged";

/// What every stage may need to know.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub(super) layout: &'a Layout,
    pub(super) choice: ToolchainChoice,
    /// What was on the machine before the first stage.
    pub(super) before: &'a Leftovers,
    /// What became of each scenario.
    pub(super) scenarios: Verdicts,
    /// The scenarios' test targets to run on a real control plane; none: all.
    pub(super) targets: &'a [String],
}

impl Run<'_> {
    /// Carry out one stage. An error is a stage that could not be carried out to its end.
    pub(super) fn stage(&mut self, stage: Stage) -> Result<Outcome> {
        let Self {
            layout,
            choice,
            before,
            targets,
            ..
        } = *self;
        match stage {
            Stage::FmtWorkspace => check(cargo(layout).args(["fmt", "--all", "--check"])),
            Stage::FmtBpf => check(
                cargo(layout)
                    .current_dir(layout.bpf_workspace())
                    .args(["fmt", "--all", "--check"]),
            ),
            Stage::BuildBpf => build::bpf(layout, choice).map(|()| Outcome::good()),
            Stage::LintWorkspace => check(cargo(layout).args([
                "clippy",
                "--workspace",
                "--all-targets",
                "--all-features",
                "--",
                "-D",
                "warnings",
            ])),
            Stage::LintStatic => Ok(match image::lint(layout)? {
                None => Outcome::good(),
                Some(missing) => Outcome::skipped(&missing),
            }),
            Stage::LintBpf => lint_bpf(layout, choice),
            Stage::Unit => tests(cargo(layout).args(["test", "--workspace", "--no-fail-fast"]), ignore),
            // With the whole workspace's features, so that nothing is built twice.
            Stage::Chart => tests(
                cargo(layout).args(["test", "--workspace", "--features", "kpr-chart/helm", "--test", "chart"]),
                ignore,
            ),
            Stage::BuildUserSpace => build::user_space(layout, false).map(|()| Outcome::good()),
            Stage::Bpf => privileged(layout, |manifest| !is_end_to_end(layout, manifest), ignore),
            Stage::E2e => {
                let scenarios = &mut self.scenarios;
                privileged(
                    layout,
                    |manifest| is_end_to_end(layout, manifest),
                    |line| scenarios.add_line(line),
                )
            }
            Stage::With(other) => other.run(layout),
            Stage::AllWith(other) => other.run_all(layout),
            Stage::Instructions => Ok(more_instructions(layout)),
            Stage::Conformance => conformance::run(layout, &self.scenarios),
            Stage::BuildControlPlane => control_plane::build(layout),
            Stage::Comparison | Stage::RealApi | Stage::RealScenarios if !control_plane::is_built(layout) => {
                Ok(Outcome::skipped("the control plane is not built"))
            }
            Stage::Comparison => control_plane::tests(layout, &["comparison"]),
            Stage::RealApi => control_plane::tests(layout, &["real_api"]),
            Stage::RealScenarios => control_plane::scenarios(layout, targets),
            Stage::Leftovers => Ok(nothing_left(before)),
        }
    }
}

fn more_instructions(layout: &Layout) -> Outcome {
    match instructions::check(layout) {
        Ok(differences) if differences.is_empty() => Outcome::good(),
        Ok(differences) => Outcome::broken(differences.join("; ")),
        Err(error) => Outcome::broken(format!("{error:#}")),
    }
}

/// For whoever wants no more of a test run's output than its counts.
pub(super) fn ignore(_line: &str) {}

fn check(command: &mut Command) -> Result<Outcome> {
    process::run(command).map(|()| Outcome::good())
}

fn lint_bpf(layout: &Layout, choice: ToolchainChoice) -> Result<Outcome> {
    let rust = toolchain::ready(layout, choice)?;
    if !rust.has_clippy() {
        return Ok(Outcome::skipped(&format!("{} has no clippy", rust.describe())));
    }
    check(build::bpf_cargo(layout, &rust, "clippy")?.args(["--workspace", "--", "-D", "warnings"]))
}

/// Run tests, with each line that they print shown to `look` too.
pub(super) fn tests(command: &mut Command, mut look: impl FnMut(&str) + Send) -> Result<Outcome> {
    let mut counts = Counts::default();
    let status = process::run_watched(command, |line| {
        counts.add_line(line);
        look(line);
    })?;
    Ok(Outcome::of_tests(counts, status.success()))
}

/// Run the privileged test targets of the packages that `belongs` chooses by their manifest. One after the other: they
/// measure, and they share the machine's kernel. Each line that they print is shown to `look` too.
fn privileged(layout: &Layout, belongs: impl Fn(&Path) -> bool, look: impl FnMut(&str) + Send) -> Result<Outcome> {
    let targets = privileged_targets(&metadata(layout)?, belongs);
    if targets.is_empty() {
        return Ok(Outcome::of_tests(Counts::default(), true));
    }
    let targets = targets.iter().map(|(feature, test)| (feature.as_str(), test.as_str()));
    tests(&mut one_by_one(layout, targets), look)
}

/// The end-to-end scenarios: of each of their test targets the feature that it needs, and its name.
pub(super) fn scenarios(layout: &Layout) -> Result<Vec<(String, String)>> {
    Ok(privileged_targets(&metadata(layout)?, |manifest| {
        is_end_to_end(layout, manifest)
    }))
}

fn metadata(layout: &Layout) -> Result<Value> {
    let metadata = process::capture(cargo(layout).args(["metadata", "--format-version", "1", "--no-deps"]))?;
    serde_json::from_str(&metadata).context("cannot read what cargo metadata prints")
}

/// `cargo test` of some targets, with the feature that each needs, and of each target's tests one after the other.
pub(super) fn one_by_one<'t>(layout: &Layout, targets: impl IntoIterator<Item = (&'t str, &'t str)>) -> Command {
    let mut command = cargo(layout);
    // The whole workspace with some targets, and not some packages: so dependencies keep the features that the other
    // stages have built them with.
    command.args(["test", "--workspace", "--no-fail-fast"]);
    for (feature, test) in targets {
        command.args(["--features", feature, "--test", test]);
    }
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        command.env("RUST_TEST_THREADS", "1");
    }
    command
}

/// The feature of every privileged test target, and its name.
fn privileged_targets(metadata: &Value, belongs: impl Fn(&Path) -> bool) -> Vec<(String, String)> {
    let list = |value: &Value, key: &str| value[key].as_array().cloned().unwrap_or_default();
    let text = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
    let mut found = Vec::new();
    for package in list(metadata, "packages") {
        if !belongs(Path::new(&text(&package, "manifest_path"))) {
            continue;
        }
        for target in list(&package, "targets") {
            let is_test = list(&target, "kind").iter().any(|kind| kind == "test");
            if is_test
                && list(&target, "required-features")
                    .iter()
                    .any(|feature| feature == PRIVILEGED)
            {
                found.push((
                    format!("{}/{PRIVILEGED}", text(&package, "name")),
                    text(&target, "name"),
                ));
            }
        }
    }
    found
}

fn is_end_to_end(layout: &Layout, manifest: &Path) -> bool {
    manifest.starts_with(layout.root.join("e2e"))
}

fn nothing_left(before: &Leftovers) -> Outcome {
    let left = Leftovers::settle(before);
    if left.is_empty() {
        return Outcome::good();
    }
    for item in left.iter() {
        console::note(&format!("left behind: {item}"));
    }
    Outcome::broken(format!("{} things left behind", left.len()))
}

/// This workspace's cargo, with the built tools on PATH.
pub(super) fn cargo(layout: &Layout) -> Command {
    let mut command = toolchain::cargo();
    command
        .current_dir(&layout.root)
        .env("PATH", probe::path_with(&layout.tools_bin()));
    command
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn privileged_targets_are_found_by_their_required_feature() {
        let metadata = json!({"packages": [
            {"name": "kpr-node-agent", "manifest_path": "/src/node-agent/Cargo.toml", "targets": [
                {"kind": ["lib"], "name": "kpr_node_agent"},
                {"kind": ["test"], "name": "model"},
                {"kind": ["test"], "name": "datapath", "required-features": ["privileged"]},
                {"kind": ["bench"], "name": "speed", "required-features": ["privileged"]},
            ]},
            {"name": "kpr-cluster", "manifest_path": "/src/e2e/cluster/Cargo.toml", "targets": [
                {"kind": ["test"], "name": "scenarios", "required-features": ["privileged"]},
            ]},
        ]});
        let in_e2e = |manifest: &Path| manifest.starts_with("/src/e2e");
        let one = |feature: &str, test: &str| [(feature.to_owned(), test.to_owned())];
        assert_eq!(
            privileged_targets(&metadata, |manifest| !in_e2e(manifest)),
            one("kpr-node-agent/privileged", "datapath")
        );
        assert_eq!(
            privileged_targets(&metadata, in_e2e),
            one("kpr-cluster/privileged", "scenarios")
        );
    }
}
