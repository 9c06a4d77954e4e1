//! The command line, and what it leads to.

use std::{
    net::{SocketAddr, SocketAddrV4},
    path::PathBuf,
};

use anyhow::{Result, ensure};

use crate::{
    catalogue::{Benchmark, is_meant},
    connect,
    machine::{self, Machine},
    node, packets, report,
    results::{Measured, Results},
    sync,
};

/// Run kpr's benchmarks.
#[derive(Debug, clap::Parser)]
#[command(name = "kpr-bench")]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Name the benchmarks
    List,
    /// Run them
    Run {
        #[command(flatten)]
        wanted: Wanted,
        /// The eBPF object of the floor programs
        #[arg(long)]
        floor: PathBuf,
        /// Where the results go
        #[arg(long)]
        results: PathBuf,
    },
    /// Connect to a Service and to its pod in turns
    #[command(hide = true)]
    ConnectClient {
        #[arg(long)]
        direct: SocketAddrV4,
        #[arg(long)]
        service: SocketAddrV4,
        #[arg(long)]
        rounds: u32,
    },
    /// Accept connections
    #[command(hide = true)]
    ConnectServer { address: SocketAddr },
    /// Send datagrams back
    #[command(hide = true)]
    SyncAnswer { address: SocketAddr },
    /// Send a datagram every millisecond
    #[command(hide = true)]
    SyncAsk { target: SocketAddrV4 },
    /// Write a run's results into the documentation
    Report {
        /// Where they are
        #[arg(long)]
        results: PathBuf,
        /// The document
        #[arg(long)]
        document: PathBuf,
    },
}

/// Which benchmarks, and how many rounds.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Wanted {
    /// Fewer rounds: everything within five minutes
    #[arg(long)]
    pub(crate) quick: bool,
    /// Those of this name, or whose names begin with it
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<String>,
}

/// Does what was asked for.
pub(crate) fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Command::List => {
            for benchmark in all() {
                println!(
                    "{:<28} {}, against {}",
                    benchmark.name, benchmark.what, benchmark.against
                );
            }
            Ok(())
        }
        Command::Run { wanted, floor, results } => {
            for name in &wanted.only {
                let known = all().any(|benchmark| is_meant(benchmark.name, std::slice::from_ref(name)));
                ensure!(known, "there is no benchmark {name}: `--list` names them");
            }
            machine::check()?;
            let mut measured = Results {
                machine: Machine::this()?,
                quick: wanted.quick,
                benchmarks: Vec::new(),
            };
            let mut tell = |benchmark: Measured| {
                println!("{benchmark}");
                measured.benchmarks.push(benchmark);
            };
            if packets::BENCHMARKS
                .iter()
                .any(|benchmark| is_meant(benchmark.name, &wanted.only))
            {
                packets::run(&node::machines()?, &floor, &wanted, &mut tell)?;
            }
            if connect::BENCHMARKS
                .iter()
                .any(|benchmark| is_meant(benchmark.name, &wanted.only))
            {
                let runtime = tokio::runtime::Runtime::new()?;
                runtime.block_on(connect::run(&node::machines()?, &wanted, &mut tell))?;
            }
            if sync::BENCHMARKS
                .iter()
                .any(|benchmark| is_meant(benchmark.name, &wanted.only))
            {
                let runtime = tokio::runtime::Runtime::new()?;
                runtime.block_on(sync::run(&node::machines()?, &wanted, &mut tell))?;
            }
            measured.machine.ended()?;
            measured.write(&results)?;
            eprintln!("kpr-bench: results are in {}", results.display());
            Ok(())
        }
        Command::ConnectClient {
            direct,
            service,
            rounds,
        } => connect::client(direct, service, rounds),
        Command::ConnectServer { address } => connect::server(address),
        Command::SyncAnswer { address } => sync::answer(address),
        Command::SyncAsk { target } => sync::ask(target),
        Command::Report { results, document } => report::write(&Results::read(&results)?, &document),
    }
}

fn all() -> impl Iterator<Item = &'static Benchmark> {
    packets::BENCHMARKS
        .iter()
        .chain(&connect::BENCHMARKS)
        .chain(&sync::BENCHMARKS)
}
