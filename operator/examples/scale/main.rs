//! What an operator of thousands of nodes costs: its memory, its requests, the time of a decision.
//!
//! ```console
//! $ cargo run --release -p kpr-operator --example scale -- --nodes 5000
//! ```
//!
//! The API server of the test cluster runs in this process, and so do agents that answer for their nodes at once. The
//! operator is a process of its own, with the settings of `kpr-operator`, so that its memory is its own.

mod cluster;
mod decision;
mod operator;

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::{Parser, Subcommand};

use cluster::Cluster;
use operator::Operator;

/// Measures an operator with many nodes.
#[derive(Parser)]
struct Options {
    /// How many nodes there are
    #[arg(long, default_value_t = 5000)]
    nodes: usize,

    /// How long it is watched while nothing happens, in seconds
    #[arg(long, default_value_t = 120)]
    idle: u64,

    /// How many nodes may be unavailable in the rollout that is measured
    #[arg(long, default_value = "10%")]
    max_unavailable: String,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Be the operator (this program starts itself so)
    #[command(hide = true)]
    Operator,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    match options.command {
        Some(Command::Operator) => operator::be().await,
        None => measure(&options).await,
    }
}

async fn measure(options: &Options) -> anyhow::Result<()> {
    let Options { nodes, idle, .. } = *options;
    let cluster = Cluster::start(nodes)?;
    println!("{nodes} nodes; requests are those of the operator");
    let operator = Operator::start(cluster.serving())?;
    until_at_rest(&cluster).await;
    report("started, no policy", &cluster, &operator)?;

    let begin = Instant::now();
    cluster.create_policy(&options.max_unavailable)?;
    until_rolled_out(&cluster, 1).await?;
    println!(
        "first installation on every node: {:.1} s",
        begin.elapsed().as_secs_f64()
    );
    until_at_rest(&cluster).await;
    report("installed", &cluster, &operator)?;

    let begin = Instant::now();
    tokio::time::sleep(Duration::from_secs(idle)).await;
    let minutes = begin.elapsed().as_secs_f64() / 60.0;
    let requests = cluster.requests();
    println!("idle: {:.1} requests a minute", f64::from(requests.total()) / minutes);
    report("idle", &cluster, &operator)?;

    let begin = Instant::now();
    cluster.change_policy().await?;
    until_rolled_out(&cluster, 2).await?;
    println!(
        "rollout of a change with maxUnavailable {}: {:.1} s",
        options.max_unavailable,
        begin.elapsed().as_secs_f64()
    );
    until_at_rest(&cluster).await;
    report("rolled out", &cluster, &operator)?;
    drop(operator);

    decision::measure(&cluster).await
}

fn report(when: &str, cluster: &Cluster, operator: &Operator) -> anyhow::Result<()> {
    let memory = operator.memory()?;
    println!(
        "{when}: resident {:.1} MiB (at most {:.1}), {:.1} s of CPU time; {}",
        memory.now,
        memory.most,
        operator.cpu_seconds()?,
        cluster.requests()
    );
    cluster.forget_requests();
    Ok(())
}

/// Waits until every node serves with this generation.
async fn until_rolled_out(cluster: &Cluster, generation: i64) -> anyhow::Result<()> {
    const PATIENCE: Duration = Duration::from_mins(30);
    let done = async {
        while !cluster.is_rolled_out(generation) {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done)
        .await
        .with_context(|| format!("generation {generation} has not reached every node within {PATIENCE:?}"))
}

/// Waits until the operator has not asked for anything but its lease for a few seconds.
async fn until_at_rest(cluster: &Cluster) {
    loop {
        let before = cluster.requests().without_lease();
        tokio::time::sleep(Duration::from_secs(5)).await;
        if cluster.requests().without_lease() == before {
            return;
        }
    }
}
