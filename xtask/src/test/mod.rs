//! `cargo xtask test`: stages, each a number of tests or one check; a summary; and a machine left as it was found.

mod conformance;
mod control_plane;
mod leftovers;
mod load_balancers;
mod outcome;
mod plan;
mod results;
mod stages;

use std::{process::ExitCode, time::Instant};

use anyhow::Result;

use self::{
    leftovers::Leftovers,
    plan::{Stage, stages},
    results::Verdicts,
    stages::Run,
};
pub(crate) use self::{
    outcome::{Outcome, Report},
    results::Counts,
};
use crate::{
    cli::{ConformancePart, StageName},
    console,
    interrupt::{self, Interrupted},
    layout::Layout,
    probe, setup, sweep,
    toolchain::ToolchainChoice,
};

pub(crate) fn run(layout: &Layout, only: &[StageName], choice: ToolchainChoice) -> Result<ExitCode> {
    carry_out(layout, &stages(only), &[], choice)
}

/// `cargo xtask conformance`: of the scenarios, those of some test targets (none: of all).
pub(crate) fn conformance(
    layout: &Layout,
    only: &[ConformancePart],
    targets: &[String],
    choice: ToolchainChoice,
) -> Result<ExitCode> {
    carry_out(layout, &plan::conformance(only), targets, choice)
}

fn carry_out(layout: &Layout, stages: &[Stage], targets: &[String], choice: ToolchainChoice) -> Result<ExitCode> {
    if stages.iter().any(|stage| stage.needs_root()) {
        probe::require_root("testing eBPF programs and test clusters (all but --only fmt,lint,unit,chart)")?;
    }
    setup::run(layout, choice)?;
    if stages.contains(&Stage::Chart) {
        setup::helm(layout)?;
    }
    let before = Leftovers::find();
    let ran = run_all(
        Run {
            layout,
            choice,
            before: &before,
            scenarios: Verdicts::default(),
            targets,
        },
        stages,
    );
    let left = Leftovers::find().new_since(&before);
    if !left.is_empty() {
        console::step("Sweeping what was left behind");
        if let Err(error) = sweep::carry_out(layout) {
            console::note(&format!("{error:#}"));
        }
    }
    let report = ran?;
    eprintln!();
    print!("{report}");
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Run every stage, also after one has failed; stop only when asked to.
fn run_all(mut run: Run<'_>, stages: &[Stage]) -> Result<Report> {
    let mut report = Report::default();
    for (index, stage) in stages.iter().enumerate() {
        interrupt::check()?;
        eprintln!();
        console::step(&format!("[{}/{}] {}", index + 1, stages.len(), stage.title()));
        let start = Instant::now();
        let outcome = match run.stage(*stage) {
            Err(error) if error.is::<Interrupted>() => return Err(error),
            Err(error) => {
                console::note(&format!("{error:#}"));
                Outcome::broken(error.to_string())
            }
            Ok(outcome) => outcome,
        };
        console::note(if outcome.is_good() { "ok" } else { "FAILED" });
        report.add(stage.title(), outcome, start.elapsed());
    }
    Ok(report)
}
