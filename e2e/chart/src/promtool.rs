//! Running promtool on alerts.

use std::{path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::tool;

/// Has promtool say whether it understands rules, and whether their unit tests pass. `tests` name the file of rules as `kpr.yaml`.
pub fn test_rules(rules: &str, tests: &str) -> Result<()> {
    let directory = tempfile::tempdir().context("a directory for rules")?;
    std::fs::write(directory.path().join("kpr.yaml"), rules)?;
    std::fs::write(directory.path().join("tests.yaml"), tests)?;
    run(directory.path(), &["check", "rules", "kpr.yaml"])?;
    run(directory.path(), &["test", "rules", "tests.yaml"])
}

fn run(directory: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(tool::find("promtool")?);
    let output = command
        .current_dir(directory)
        .args(arguments)
        .output()
        .context("promtool could not be started")?;
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    ensure!(
        output.status.success(),
        "promtool {}: {}",
        arguments.join(" "),
        said.concat()
    );
    Ok(())
}
