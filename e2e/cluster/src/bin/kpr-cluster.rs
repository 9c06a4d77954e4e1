//! The test cluster from the command line.

use anyhow::Result;
use clap::{Parser, Subcommand};
use kpr_cluster::{client, server, teardown};

/// A two-node Kubernetes cluster in network namespaces, to try and to test kpr on.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Remove what a killed run left behind
    Sweep,
    /// The server inside a pod
    #[command(hide = true)]
    PodServer(server::ServerArgs),
    /// A client of services, for scenarios
    #[command(hide = true)]
    Client(client::ClientArgs),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.command {
        Command::Sweep => sweep(),
        Command::PodServer(args) => single_threaded(server::run(args)),
        Command::Client(args) => single_threaded(client::run(args)),
    }
}

fn sweep() -> Result<()> {
    let swept = teardown::sweep()?;
    for id in &swept {
        println!("removed cluster {id}, whose owner has died");
    }
    if swept.is_empty() {
        println!("nothing to sweep");
    }
    Ok(())
}

/// One thread is enough for a pod or a client, and starts faster.
fn single_threaded(work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
