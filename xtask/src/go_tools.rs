//! Upstream's programs for the test cluster, built with Go from the pinned modules of `e2e/tools`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{console, layout::Layout, probe, process};

/// One program that `e2e/tools` pins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GoTool {
    /// Kubernetes' command line.
    Kubectl,
    /// The package manager that the chart is for.
    Helm,
    /// etcd, kube-apiserver, kube-controller-manager and kube-scheduler, in one executable.
    ControlPlane,
}

impl GoTool {
    /// The executable's name in target/tools/bin.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Kubectl => "kubectl",
            Self::Helm => "helm",
            Self::ControlPlane => "control-plane",
        }
    }

    /// What `go build` builds, seen from e2e/tools.
    fn package(self) -> &'static str {
        match self {
            Self::Kubectl => "./kubectl",
            Self::Helm => "helm.sh/helm/v3/cmd/helm",
            Self::ControlPlane => "./control-plane",
        }
    }

    /// The module whose version is the program's.
    fn module(self) -> &'static str {
        match self {
            Self::Kubectl => "k8s.io/kubectl",
            Self::Helm => "helm.sh/helm/v3",
            Self::ControlPlane => "k8s.io/kubernetes",
        }
    }

    /// How long the first build may take, downloads and all; later ones find most of it in Go's cache.
    fn duration(self) -> &'static str {
        match self {
            Self::Kubectl | Self::Helm => "1 to 5 minutes",
            Self::ControlPlane => "5 to 15 minutes",
        }
    }

    /// Variables that tell the program its own version, for `-ldflags`.
    fn variables(self, version: &str) -> String {
        match self {
            Self::Helm => format!(
                "-X helm.sh/helm/v3/internal/version.version={version} \
                 -X helm.sh/helm/v3/internal/version.gitTreeState=clean"
            ),
            Self::Kubectl | Self::ControlPlane => {
                let mut numbers = version.trim_start_matches('v').split('.');
                let mut number = || numbers.next().unwrap_or_default();
                let (major, minor) = (number(), number());
                ["gitVersion", "gitMajor", "gitMinor"]
                    .iter()
                    .zip([version, major, minor])
                    .map(|(variable, value)| format!("-X k8s.io/component-base/version.{variable}={value}"))
                    .collect::<Vec<_>>()
                    .join(" ")
            }
        }
    }
}

/// The program, built unless it was built from the same pins before.
pub(crate) fn ready(layout: &Layout, tool: GoTool) -> Result<PathBuf> {
    let modules = layout.root.join("e2e/tools");
    let read = |file: &str| fs::read_to_string(modules.join(file)).with_context(|| format!("cannot read {file}"));
    let go_mod = read("go.mod")?;
    let version = pinned_version(&go_mod, tool)
        .with_context(|| format!("e2e/tools/go.mod does not require {}", tool.module()))?;
    let flags = format!("-s -w {}", tool.variables(&version));
    let mut sources = vec![flags.clone(), go_mod, read("go.sum")?];
    if let Some(directory) = tool.package().strip_prefix("./") {
        sources.push(read(&format!("{directory}/main.go"))?);
    }
    let (sources, stamp) = (sources.join("\n"), layout.tools().join("built-from").join(tool.name()));
    let executable = layout.tools_bin().join(tool.name());
    if probe::is_executable(&executable) && fs::read_to_string(&stamp).is_ok_and(|built| built == sources) {
        return Ok(executable);
    }
    ensure!(
        probe::on_path("go").is_some(),
        "{} {version} is built with Go, which this machine does not have: install Go (https://go.dev/dl/) and run this again",
        tool.name()
    );
    console::note(&format!(
        "building {} {version} with Go into target/tools/bin ({})",
        tool.name(),
        tool.duration()
    ));
    process::run(&mut go_build(&modules, tool, &flags, &executable))?;
    write(&stamp, &sources)?;
    Ok(executable)
}

/// One set of flags for all: packages that several programs have in common are compiled once.
fn go_build(modules: &Path, tool: GoTool, flags: &str, executable: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .current_dir(modules)
        .env("CGO_ENABLED", "0")
        .args(["build", "-mod=readonly", "-trimpath", "-ldflags", flags, "-o"])
        .arg(executable)
        .arg(tool.package());
    command
}

fn write(path: &Path, text: &str) -> Result<()> {
    let directory = path.parent().context("a file has no directory")?;
    fs::create_dir_all(directory)
        .and_then(|()| fs::write(path, text))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// The program's version, from that of its module. kubectl's library v0.34.2 is the code of kubectl v1.34.2.
fn pinned_version(go_mod: &str, tool: GoTool) -> Option<String> {
    let version = go_mod.lines().find_map(|line| {
        let mut words = line.trim().trim_start_matches("require ").split_whitespace();
        (words.next() == Some(tool.module())).then(|| words.next()).flatten()
    })?;
    Some(match tool {
        GoTool::Kubectl => version.replacen("v0.", "v1.", 1),
        GoTool::Helm | GoTool::ControlPlane => version.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_MOD: &str = "module x\n\nrequire (\n\tk8s.io/kubectl v0.34.2\n\tk8s.io/kubernetes v1.34.2\n)\n\n\
        require helm.sh/helm/v3 v3.19.5 // indirect\n\nreplace (\n\tk8s.io/kubectl => k8s.io/kubectl v0.34.2\n)\n";

    #[test]
    fn a_program_has_the_version_of_its_module() {
        for (tool, version) in [
            (GoTool::Kubectl, "v1.34.2"),
            (GoTool::Helm, "v3.19.5"),
            (GoTool::ControlPlane, "v1.34.2"),
        ] {
            assert_eq!(pinned_version(GO_MOD, tool).as_deref(), Some(version), "{tool:?}");
            assert_eq!(pinned_version("module x\n", tool), None, "{tool:?}");
        }
    }

    #[test]
    fn kubernetes_programs_are_told_their_major_and_minor_version_too() {
        assert_eq!(
            GoTool::ControlPlane.variables("v1.34.2"),
            "-X k8s.io/component-base/version.gitVersion=v1.34.2 \
             -X k8s.io/component-base/version.gitMajor=1 \
             -X k8s.io/component-base/version.gitMinor=34"
        );
    }
}
