//! Processes that run, and what came of those that ended.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitStatus,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow, bail};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde::de::DeserializeOwned;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    process::{Child, ChildStdin, ChildStdout},
    time::timeout,
};

/// How many lines of a log say what went wrong.
const LOG_TAIL: usize = 25;

/// A process in the background, whose output goes to a log. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    pub(super) fn new(name: String, child: Child, log: PathBuf) -> Self {
        Self { name, child, log }
    }

    /// Its process id; none once it was waited for.
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// The last lines of its output.
    pub fn log_tail(&self) -> String {
        log_tail(&self.log)
    }

    /// How it ended, if it has.
    pub fn exited(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits for its end.
    pub async fn wait(&mut self) -> Result<ExitStatus> {
        Ok(self.child.wait().await?)
    }

    /// Sends a signal, unless it has ended already.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.child.id() else { return Ok(()) };
        kill(Pid::from_raw(i32::try_from(pid)?), signal).with_context(|| format!("send {signal} to {}", self.name))
    }

    /// Asks it to end, and insists after `grace`.
    pub async fn stop(&mut self, grace: Duration) -> Result<ExitStatus> {
        self.signal(Signal::SIGTERM)?;
        if let Ok(status) = timeout(grace, self.child.wait()).await {
            return Ok(status?);
        }
        self.kill().await
    }

    /// Ends it as `kill -9` does.
    pub async fn kill(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::SIGKILL)?;
        self.wait().await
    }
}

/// The last lines of a log file.
pub fn log_tail(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_TAIL)..].join("\n")
}

/// What a command printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, as typed.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Output {
    pub(super) fn new(command: String, output: &std::process::Output) -> Self {
        Self {
            command,
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Its standard output, if it succeeded.
    pub fn success(self) -> Result<String> {
        if self.status.success() {
            return Ok(self.stdout);
        }
        bail!(
            "`{}` failed ({}): {}{}",
            self.command,
            self.status,
            self.stdout.trim_end(),
            self.stderr.trim_end()
        )
    }

    /// Its standard output as JSON, if it succeeded.
    pub fn json<T: DeserializeOwned>(self) -> Result<T> {
        let command = self.command.clone();
        let stdout = self.success()?;
        serde_json::from_str(&stdout).with_context(|| format!("`{command}` printed no such JSON: {stdout}"))
    }
}

/// A process one talks to: it prints lines, and ends when its standard input is closed.
#[derive(Debug)]
pub struct Session {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Session {
    pub(super) fn new(name: String, mut child: Child) -> Result<Self> {
        let stdin = child.stdin.take();
        let stdout = child
            .stdout
            .take()
            .with_context(|| format!("{name} has no standard output"))?;
        Ok(Self {
            name,
            child,
            stdin,
            lines: BufReader::new(stdout).lines(),
        })
    }

    /// The next line that it prints, read as JSON.
    pub async fn next<T: DeserializeOwned>(&mut self, within: Duration) -> Result<T> {
        let line = timeout(within, self.lines.next_line())
            .await
            .map_err(|_elapsed| anyhow!("{} printed nothing within {within:?}", self.name))??;
        let line = line.with_context(|| format!("{} ended without a word", self.name))?;
        serde_json::from_str(&line).with_context(|| format!("{} printed: {line}", self.name))
    }

    /// Writes a line to its standard input.
    pub async fn tell(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("its standard input is closed")?;
        let told = stdin.write_all(format!("{line}\n").as_bytes()).await;
        told.with_context(|| format!("{} does not listen", self.name))
    }

    /// `kill -9`, and waits for its end.
    pub async fn kill(mut self) -> Result<()> {
        let killed = self.child.kill().await;
        killed.with_context(|| format!("{} cannot be killed", self.name))
    }

    /// Closes its standard input, which asks it to finish, and returns the last line it prints.
    pub async fn finish<T: DeserializeOwned>(mut self, within: Duration) -> Result<T> {
        drop(self.stdin.take());
        let report = self.next(within).await?;
        timeout(within, self.child.wait())
            .await
            .with_context(|| format!("{} does not end", self.name))??;
        Ok(report)
    }
}
