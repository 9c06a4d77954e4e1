//! Running helm on the chart.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{Rendered, tool};

/// Without a cluster to ask, helm has to be told what it is.
const KUBE_VERSION: &str = "1.34.0";
/// The least that anybody has to set.
const API_SERVER: &str = "k8sServiceHost=192.168.49.2";

/// helm, with values on top of the chart's own.
#[derive(Clone, Debug)]
pub struct Helm {
    values: Vec<String>,
    kube_version: String,
}

/// What a run of helm printed, and whether it succeeded.
#[derive(Clone, Debug)]
pub struct Output {
    /// Whether the exit code is 0.
    pub success: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Default for Helm {
    fn default() -> Self {
        Self::with(&[])
    }
}

impl Helm {
    /// With the API server's address, and these values as `--set` takes them.
    pub fn with(values: &[&str]) -> Self {
        Self::with_only(&[&[API_SERVER], values].concat())
    }

    /// With these values alone.
    pub fn with_only(values: &[&str]) -> Self {
        Self {
            values: values.iter().map(|&value| value.to_owned()).collect(),
            kube_version: KUBE_VERSION.to_owned(),
        }
    }

    /// For a cluster of another version.
    #[must_use]
    pub fn on(mut self, kube_version: &str) -> Self {
        kube_version.clone_into(&mut self.kube_version);
        self
    }

    /// `helm lint --strict`.
    pub fn lint(&self) -> Result<Output> {
        self.run(&["lint", "--strict"], &[])
    }

    /// `helm template`, whatever it says.
    pub fn template(&self) -> Result<Output> {
        self.run(&["template", "kpr"], &["--namespace", "kube-system", "--include-crds"])
    }

    /// The objects of `helm template`.
    pub fn render(&self) -> Result<Rendered> {
        let output = self.template()?;
        ensure!(output.success, "helm template failed: {}", output.stderr);
        Rendered::parse(&output.stdout)
    }

    /// What `helm install` would end with. It asks a cluster; so the notes are rendered as a template of a copy of the chart.
    pub fn notes(&self, namespace: &str) -> Result<String> {
        let copy = tempfile::tempdir().context("a directory for a copy of the chart")?;
        copy_all(&chart(), copy.path())?;
        let templates = copy.path().join("templates");
        std::fs::rename(templates.join("NOTES.txt"), copy.path().join("notes"))?;
        std::fs::write(
            templates.join("notes.yaml"),
            "notes: |\n  {{- tpl (.Files.Get \"notes\") . | nindent 2 }}\n",
        )?;
        let after = ["--namespace", namespace, "--show-only", "templates/notes.yaml"];
        let output = self.run_on(copy.path(), &["template", "kpr"], &after)?;
        ensure!(output.success, "helm template failed: {}", output.stderr);
        let document: serde_json::Value = serde_saphyr::from_str(&output.stdout)?;
        let notes = document["notes"].as_str().context("no notes")?;
        Ok(notes.to_owned())
    }

    fn run(&self, before: &[&str], after: &[&str]) -> Result<Output> {
        self.run_on(&chart(), before, after)
    }

    fn run_on(&self, chart: &Path, before: &[&str], after: &[&str]) -> Result<Output> {
        let mut command = Command::new(tool::find("helm")?);
        command
            .args(before)
            .arg(chart)
            .args(after)
            .args(["--kube-version", &self.kube_version]);
        for value in &self.values {
            command.args(["--set", value]);
        }
        // Nothing of the user's own configuration counts.
        let home = std::env::temp_dir().join("kpr-chart-helm");
        for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
            command.env(variable, &home);
        }
        let output = command.output().context("helm could not be started")?;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).context("helm printed no UTF-8");
        Ok(Output {
            success: output.status.success(),
            stdout: text(output.stdout)?,
            stderr: text(output.stderr)?,
        })
    }
}

fn copy_all(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from).with_context(|| format!("cannot list {}", from.display()))? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_all(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn chart() -> PathBuf {
    tool::root().join("charts/kpr")
}
