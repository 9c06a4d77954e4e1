//! `cargo xtask setup`: what every other command needs, found or installed.

use std::{path::Path, time::Instant};

use anyhow::{Context, Result};

use crate::{
    apt, console,
    go_tools::{self, GoTool},
    kubectl,
    layout::Layout,
    probe, process, promtool,
    toolchain::{self, ToolchainChoice},
};

/// Programs that the demo and the tests run, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("curl", "curl"),
    ("cc", "build-essential"),
    ("iptables-legacy-restore", "iptables"),
    ("nft", "nftables"),
];

/// Where the test cluster looks for the plugins that its `cni-…` shapes call, and the Debian package that has them.
const CNI_PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];
const CNI_PACKAGE: &str = "containernetworking-plugins";

pub(crate) fn run(layout: &Layout, choice: ToolchainChoice) -> Result<()> {
    let start = Instant::now();
    console::step("Looking for the tools that kpr is built and tested with");
    programs()?;
    formatter_and_linter()?;
    let rust = toolchain::ready(layout, choice)?;
    console::note(&format!("eBPF toolchain: {}", rust.describe()));
    let kubectl = kubectl::ready(layout)?;
    console::note(&format!("kubectl: {}", kubectl.display()));
    console::note(&format!("all tools are there ({})", console::duration(start.elapsed())));
    Ok(())
}

/// What the tests of the chart need beyond the demo's tools. Without Go there is no helm, which they then say.
pub(crate) fn helm(layout: &Layout) -> Result<()> {
    if probe::on_path("go").is_none() {
        console::note("helm: none, because it is built with Go, which this machine does not have (https://go.dev/dl/)");
        return Ok(());
    }
    let helm = go_tools::ready(layout, GoTool::Helm)?;
    console::note(&format!("helm: {}", helm.display()));
    let promtool = promtool::ready(layout)?;
    console::note(&format!("promtool: {}", promtool.display()));
    Ok(())
}

fn programs() -> Result<()> {
    let mut packages = missing_packages(|program| probe::on_path(program).is_some());
    let has_plugins = |directory: &&str| Path::new(directory).join("host-local").is_file();
    if !CNI_PLUGINS.iter().any(has_plugins) {
        packages.push(CNI_PACKAGE);
    }
    if packages.is_empty() {
        return Ok(());
    }
    apt::install(&packages, "programs that the demo and the tests run; some seconds")
}

fn missing_packages(is_there: impl Fn(&str) -> bool) -> Vec<&'static str> {
    PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect()
}

/// rustfmt and clippy of the toolchain that builds this workspace.
fn formatter_and_linter() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if process::capture(toolchain::cargo().args([subcommand, "--version"])).is_err() {
            console::note(&format!("rustup component add {component} (some seconds)"));
            process::run(std::process::Command::new("rustup").args(["component", "add", component])).with_context(
                || format!("cargo {subcommand} is missing: install {component} for the Rust toolchain in use"),
            )?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_packages_of_missing_programs_are_asked_for() {
        assert_eq!(
            missing_packages(|program| program != "ip" && program != "curl"),
            ["iproute2", "curl"]
        );
        assert!(missing_packages(|_| true).is_empty());
    }
}
