//! `kpr-operator`: see `kpr-operator --help`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use kpr_operator::lease::Timing;
use kpr_operator::run::Election;
use kpr_operator::{Options, Settings, connect, controller, logging, run};
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
    logging::start(options.log_format, &options.log)?;
    let identity = match &options.identity {
        Some(identity) => identity.clone(),
        None => host_name().context("this host has no usable name: give --identity")?,
    };
    let stop = CancellationToken::new();
    stop_on_signals(stop.clone()).context("signals can't be waited for")?;
    let election = options.leader_elect.then(|| Election {
        namespace: options.leader_election_namespace.clone(),
        timing: Timing::default(),
    });
    let settings = Settings {
        election,
        controller: controller::Settings {
            limits: options.drain_limits(),
            kube_proxy: options.kube_proxy(),
            collect: Duration::from_millis(500),
            identity,
        },
        first_retry: Duration::from_secs(1),
    };
    let connection = connect::infer().await?;
    Ok(Box::pin(run(connection, settings, stop)).await?)
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
