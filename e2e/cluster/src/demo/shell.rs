//! Command lines, typed in different places of the cluster.

use std::ffi::OsString;

use anyhow::{Context as _, Result, bail};

use super::narrator::Narrator;
use crate::{
    cluster::Cluster,
    process::{Launch, Output},
};

/// Where a command line is typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// On this machine, with `kubectl`.
    Here,
    /// On a node.
    Node(String),
    /// On the outside client.
    Client,
    /// In a pod.
    Pod(String),
}

impl Place {
    fn prompt(&self) -> String {
        match self {
            Self::Here => "$ ".to_owned(),
            Self::Node(name) => format!("{name}# "),
            Self::Client => "client$ ".to_owned(),
            Self::Pod(name) => format!("{name}$ "),
        }
    }

    fn door(&self) -> Vec<OsString> {
        match self {
            Self::Here => vec![],
            Self::Node(name) => vec![name.into()],
            Self::Client => vec!["client".into()],
            Self::Pod(name) => vec!["pod".into(), name.into()],
        }
    }
}

/// The cluster, and somebody who tells what happens in it.
pub(super) struct Shell<'c> {
    pub(super) cluster: &'c mut Cluster,
    pub(super) narrator: &'c mut Narrator,
}

impl Shell<'_> {
    /// Shows a command line and what it prints. Fails if it fails.
    pub(super) async fn show(&self, place: &Place, line: &str) -> Result<String> {
        self.narrator.command(&place.prompt(), line);
        let output = self.run(place, line).await?;
        for printed in [&output.stdout, &output.stderr] {
            if !printed.trim().is_empty() {
                self.narrator.output(printed);
            }
        }
        if !output.status.success() {
            bail!("`{line}` ended with {}", output.status);
        }
        Ok(output.stdout)
    }

    /// Runs a command line without a word.
    pub(super) async fn run(&self, place: &Place, line: &str) -> Result<Output> {
        let mut door = place.door().into_iter();
        let launch = match door.next() {
            None => self.cluster.kubectl()?.with_program("sh"),
            Some(script) => Launch::new(self.cluster.doors().join(script)).args(door).arg("sh"),
        };
        launch
            .args(["-c", line])
            .output()
            .await
            .with_context(|| format!("run `{line}`"))
    }
}
