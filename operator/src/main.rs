//! `kpr-operator`: see `kpr-operator --help`.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use kpr_operator::{Options, connect, log_file, logging, once, run};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    match start(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kpr-operator: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn start(options: &Options) -> anyhow::Result<()> {
    let levels = logging::LINES.start(options.log_format, options.log.clone())?;
    let _following = match &options.log_file {
        Some(path) => Some(log_file::follow(path.clone(), levels).await),
        None => None,
    };
    if let Some(command) = &options.command {
        return once::run(command, async || Ok(connect::infer().await?.client)).await;
    }
    let identity = match &options.identity {
        Some(identity) => identity.clone(),
        None => host_name().context("this host has no usable name: give --identity")?,
    };
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone()).context("signals can't be waited for")?;
    let connection = connect::infer().await?;
    Ok(Box::pin(run(connection, options.settings(identity), stop)).await?)
}

fn host_name() -> anyhow::Result<String> {
    const PATH: &str = "/proc/sys/kernel/hostname";
    let name = std::fs::read_to_string(PATH).with_context(|| format!("{PATH} can't be read"))?;
    let name = name.trim();
    anyhow::ensure!(!name.is_empty(), "{PATH} is empty");
    Ok(name.to_owned())
}

fn stop_on_signals(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    });
    Ok(())
}
