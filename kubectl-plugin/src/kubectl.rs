//! Calls of kubectl.

use std::{
    env,
    process::{Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, de::DeserializeOwned};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::args::Args;

/// Names another program than `kubectl`.
const PROGRAM: &str = "KUBECTL";

/// Runs kubectl with these arguments, in the context that was asked for. A call that is dropped ends it.
pub(crate) async fn run(args: &Args, arguments: &[&str]) -> Result<Output> {
    run_with(args, arguments, &[]).await
}

/// The same with a standard input.
pub(crate) async fn run_with(args: &Args, arguments: &[&str], input: &[u8]) -> Result<Output> {
    let program = env::var_os(PROGRAM).unwrap_or_else(|| "kubectl".into());
    let mut command = Command::new(&program);
    for (flag, value) in [("--context", &args.context), ("--kubeconfig", &args.kubeconfig)] {
        if let Some(value) = value {
            command.args([flag, value]);
        }
    }
    command
        .args(arguments)
        .kill_on_drop(true)
        .stdin(if input.is_empty() {
            Stdio::null()
        } else {
            Stdio::piped()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let run = async {
        let mut child = command.spawn()?;
        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // Whoever ends before it has read everything says why.
                let _ = stdin.write_all(input).await;
            }
        };
        tokio::join!(child.wait_with_output(), write).0
    };
    run.await
        .with_context(|| format!("cannot run {} ({PROGRAM} names another program)", program.display()))
}

/// What it printed, if it succeeded.
pub(crate) async fn output(args: &Args, arguments: &[&str]) -> Result<Vec<u8>> {
    output_with(args, arguments, &[]).await
}

/// The same with a standard input.
pub(crate) async fn output_with(args: &Args, arguments: &[&str], input: &[u8]) -> Result<Vec<u8>> {
    let output = run_with(args, arguments, input).await?;
    ensure!(
        output.status.success(),
        "kubectl {}: {}",
        arguments[0],
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(output.stdout)
}

/// Objects, as `get` prints them with `--output json`.
#[derive(Deserialize)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<T>,
}

impl<T: DeserializeOwned> List<T> {
    /// `what`: of what it is a list.
    pub(crate) fn read(json: &[u8], what: &str) -> Result<Self> {
        serde_json::from_slice(json).with_context(|| format!("kubectl's list of {what} was not understood"))
    }
}
