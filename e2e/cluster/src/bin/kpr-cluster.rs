//! The test cluster from the command line.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use kpr_cluster::{
    client, conformance, demo, interrupt, server,
    spec::{ClusterSpec, Families, Shape},
    teardown,
};
use tracing_subscriber::EnvFilter;

/// A two-node Kubernetes cluster in network namespaces, to try and to test kpr on.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Walk through the whole story: cluster, kpr, a Service, and its end
    Demo {
        /// Leave the cluster up, and print how to use it, until Ctrl-C
        #[arg(long)]
        keep: bool,
        #[command(flatten)]
        network: Network,
    },
    /// Bring up the cluster with kpr, and leave it up until Ctrl-C
    Up {
        /// Only the cluster: neither kpr's API nor its programs
        #[arg(long)]
        without_kpr: bool,
        #[command(flatten)]
        network: Network,
    },
    /// Remove what a killed run left behind
    Sweep,
    /// The server inside a pod
    #[command(hide = true)]
    PodServer(server::ServerArgs),
    /// Print which test answers which of Kubernetes' own, as JSON
    #[command(hide = true)]
    Conformance,
    /// A client of services, for scenarios
    #[command(hide = true)]
    Client(client::ClientArgs),
}

/// What the cluster is like.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Network {
    /// How pods and nodes are wired
    #[arg(long, value_enum, default_value_t)]
    shape: Shape,
    /// The address families of nodes, pods and Services
    #[arg(long, value_enum, default_value_t)]
    families: Families,
}

impl Network {
    fn spec(self) -> ClusterSpec {
        ClusterSpec::of(self.shape).families(self.families)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let filter = EnvFilter::try_from_env("KPR_LOG").unwrap_or_else(|_unset| EnvFilter::new("off"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    match run(arguments.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kpr-cluster: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::Demo { keep, network } => multi_threaded(demo::demo(network.spec(), keep)),
        Command::Up { without_kpr, network } => multi_threaded(demo::up(network.spec(), !without_kpr)),
        Command::Sweep => sweep(),
        Command::Conformance => {
            println!("{}", conformance::as_json());
            Ok(())
        }
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

fn multi_threaded(work: impl Future<Output = Result<()>>) -> Result<()> {
    interrupt::watch()?;
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(work)
}
