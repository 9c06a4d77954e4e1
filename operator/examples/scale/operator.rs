//! The operator, as a process of its own.

use std::process::{Child, Command, Stdio};

use anyhow::Context;
use clap::Parser;
use kpr_apiserver::Serving;
use kpr_log_filter::LogFormat;
use kpr_operator::{Options, connect, logging, run};
use tokio_util::sync::CancellationToken;

/// A process that is an operator; dropping it ends it.
pub(crate) struct Operator {
    child: Child,
    directory: std::path::PathBuf,
}

/// Its resident memory, in MiB.
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) most: f64,
}

/// What the process does that [`Operator::start`] begins.
pub(crate) async fn be() -> anyhow::Result<()> {
    logging::LINES.start(LogFormat::default(), "warn".parse()?)?;
    let settings = Options::parse_from(["kpr-operator"]).settings("scale".to_owned());
    let connection = connect::infer().await?;
    Ok(Box::pin(run(connection, settings, CancellationToken::new())).await?)
}

impl Operator {
    /// Starts one that finds its API server here.
    pub(crate) fn start(serving: &Serving) -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(format!("kpr-scale-{}", std::process::id()));
        std::fs::create_dir_all(&directory)?;
        let kubeconfig = directory.join("kubeconfig");
        serving.write_kubeconfig(&kubeconfig)?;
        let child = Command::new(std::env::current_exe()?)
            .arg("operator")
            .env("KUBECONFIG", &kubeconfig)
            .stdin(Stdio::null())
            .spawn()
            .context("the operator can't be started")?;
        Ok(Self { child, directory })
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let mebibytes = |field: &str| -> anyhow::Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let value = line.and_then(|line| line.split_whitespace().next());
            let kibibytes: f64 = value.context("the operator has ended")?.parse()?;
            Ok(kibibytes / 1024.0)
        };
        Ok(Memory {
            now: mebibytes("VmRSS:")?,
            most: mebibytes("VmHWM:")?,
        })
    }

    pub(crate) fn cpu_seconds(&self) -> anyhow::Result<f64> {
        /// `USER_HZ`: what the kernel counts in for everyone, whatever its own clock.
        const TICKS: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in parentheses, may have blanks.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |field: usize| -> anyhow::Result<f64> { Ok(fields.get(field).context("a short stat")?.parse()?) };
        Ok((ticks(11)? + ticks(12)?) / TICKS)
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        // It may have ended by itself, and the folder is in a temporary place.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}
