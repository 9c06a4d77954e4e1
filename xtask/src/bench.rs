//! `cargo xtask bench`: the benchmarks are a program of their own, `kpr-bench`, built with optimizations; they are no tests, and figures
//! that miss what is wanted of them do not fail.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{
    build, cli::BenchArgs, interrupt, layout::Layout, probe, process, setup, toolchain, toolchain::ToolchainChoice,
};

pub(crate) fn run(layout: &Layout, arguments: &BenchArgs, choice: ToolchainChoice) -> Result<()> {
    if arguments.list || arguments.report {
        build_program(layout)?;
        return process::run(&mut command(layout, arguments));
    }
    probe::require_root("loading eBPF programs and making network namespaces")?;
    setup::run(layout, choice)?;
    build::bpf(layout, choice)?;
    build_program(layout)?;
    interrupt::check()?;
    process::run(&mut command(layout, arguments))
}

fn build_program(layout: &Layout) -> Result<()> {
    let mut command = toolchain::cargo();
    command
        .current_dir(&layout.root)
        .args(["build", "--release", "--package", "kpr-bench"])
        // What some of them measure.
        .args(["--package", "kpr-node-agent", "--package", "kpr-operator"]);
    process::run(&mut command).context("the benchmarks do not build: see the message above")
}

fn command(layout: &Layout, arguments: &BenchArgs) -> Command {
    let mut command = Command::new(layout.release_binary("kpr-bench"));
    command
        .current_dir(&layout.root)
        .env("PATH", probe::path_with(&layout.tools_bin()));
    if arguments.list {
        command.arg("list");
        return command;
    }
    let results = results(layout);
    if arguments.report {
        let document = layout.root.join("docs/performance.md");
        command.arg("report").arg("--results").arg(results);
        command.arg("--document").arg(document);
        return command;
    }
    command.arg("run").arg("--floor").arg(layout.floor_object());
    command.arg("--results").arg(results);
    if arguments.quick {
        command.arg("--quick");
    }
    for name in &arguments.only {
        command.args(["--only", name]);
    }
    command
}

/// What the last run found.
fn results(layout: &Layout) -> PathBuf {
    layout.root.join("target/bench/results.json")
}
