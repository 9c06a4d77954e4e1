//! kubectl: the machine's, or one that is built here.

use std::{path::PathBuf, process::Command};

use anyhow::{Context, Result};

use crate::{apt, console, layout::Layout, probe, process};

/// Where a kubectl can come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The module under e2e/tools/kubectl, built by the Go on this machine.
    Go,
    /// Debian's kubernetes-client. Old (1.20), and good enough for what the demo asks of it.
    Debian,
}

/// Find kubectl, or get one.
pub(crate) fn ready(layout: &Layout) -> Result<PathBuf> {
    let ours = layout.tools_bin().join("kubectl");
    if let Some(found) = probe::on_path("kubectl") {
        return Ok(found);
    }
    if probe::is_executable(&ours) {
        return Ok(ours);
    }
    console::step("This machine has no kubectl: getting one");
    for source in sources(probe::on_path("go").is_some()) {
        let got = match source {
            Source::Go => build(layout),
            Source::Debian => apt::install(&["kubernetes-client"], "kubectl; some seconds"),
        };
        if let Err(error) = got {
            crate::interrupt::check()?;
            console::note(&format!("that did not work: {error:#}"));
        } else if let Some(found) =
            probe::on_path("kubectl").or_else(|| probe::is_executable(&ours).then_some(ours.clone()))
        {
            return Ok(found);
        }
    }
    anyhow::bail!("there is no kubectl: put one on PATH (https://kubernetes.io/docs/tasks/tools/) and run this again")
}

fn sources(has_go: bool) -> Vec<Source> {
    if has_go {
        vec![Source::Go, Source::Debian]
    } else {
        vec![Source::Debian]
    }
}

fn build(layout: &Layout) -> Result<()> {
    let module = layout.root.join("e2e/tools/kubectl");
    let version = pinned_version(&std::fs::read_to_string(module.join("go.mod")).context("cannot read go.mod")?)
        .context("e2e/tools/kubectl/go.mod does not require k8s.io/kubectl")?;
    console::note(&format!(
        "building kubectl {version} with Go into target/tools/bin (1 to 4 minutes)"
    ));
    process::run(
        Command::new("go")
            .current_dir(module)
            .args(["build", "-mod=readonly", "-trimpath", "-ldflags"])
            .arg(format!("-s -w -X k8s.io/component-base/version.gitVersion={version}"))
            .arg("-o")
            .arg(layout.tools_bin().join("kubectl"))
            .arg("."),
    )
}

/// kubectl's own version, from the version of its library: v0.34.1 is the code of kubectl v1.34.1.
fn pinned_version(go_mod: &str) -> Option<String> {
    let library = go_mod
        .lines()
        .find_map(|line| line.trim().strip_prefix("k8s.io/kubectl v0."))?;
    Some(format!("v1.{}", library.split_whitespace().next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_has_the_version_of_its_library() {
        let go_mod = "module x\n\nrequire (\n\tk8s.io/component-base v0.34.1\n\tk8s.io/kubectl v0.34.1\n)\n";
        assert_eq!(pinned_version(go_mod).as_deref(), Some("v1.34.1"));
        assert_eq!(pinned_version("module x\n"), None);
    }

    #[test]
    fn debian_is_asked_only_after_go() {
        assert_eq!(sources(true), [Source::Go, Source::Debian]);
        assert_eq!(sources(false), [Source::Debian]);
    }
}
