//! The command line, and what it leads to.

use std::{
    net::{SocketAddr, SocketAddrV4},
    path::PathBuf,
};

use anyhow::{Result, ensure};

use crate::{
    catalogue::{Benchmark, is_meant},
    connect, forward,
    machine::{self, Machine},
    node, packets, pods, report, requests,
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
    /// Print how many instructions packets take: for a machine whose clock counts them (`qemu-system-x86_64 -icount shift=0`)
    #[command(hide = true)]
    Instructions {
        /// The eBPF object of the floor programs
        #[arg(long)]
        floor: PathBuf,
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
    /// Ask whom standard input tells
    #[command(hide = true)]
    RequestClient,
    /// Answer requests
    #[command(hide = true)]
    RequestServer { address: SocketAddr },
    /// Accept connections
    #[command(hide = true)]
    ConnectServer { address: SocketAddr },
    /// Send datagrams back
    #[command(hide = true)]
    Echo { address: SocketAddr },
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
    /// One round each, with one flow: on a clock that counts instructions every round is the same
    #[arg(skip)]
    pub(crate) counting: bool,
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
            let wants = |benchmarks: &[Benchmark]| {
                let mut benchmarks = benchmarks.iter();
                benchmarks.any(|benchmark| is_meant(benchmark.name, &wanted.only))
            };
            if wants(&packets::BENCHMARKS) {
                packets::run(&node::machines()?, &floor, &wanted, &mut tell)?;
            }
            let runtime = tokio::runtime::Runtime::new()?;
            if wants(&connect::BENCHMARKS) {
                runtime.block_on(connect::run(&node::machines()?, &wanted, &mut tell))?;
            }
            if wants(&requests::BENCHMARKS) {
                runtime.block_on(requests::run(&wanted, &mut tell))?;
            }
            if wants(&forward::BENCHMARKS) {
                runtime.block_on(forward::run(&floor, &wanted, &mut tell))?;
            }
            if wants(&sync::BENCHMARKS) {
                runtime.block_on(sync::run(&node::machines()?, &wanted, &mut tell))?;
            }
            measured.machine.ended()?;
            measured.write(&results)?;
            eprintln!("kpr-bench: results are in {}", results.display());
            Ok(())
        }
        Command::Instructions { floor } => {
            let wanted = Wanted {
                quick: true,
                only: Vec::new(),
                counting: true,
            };
            // What reads this is `cargo xtask instructions`.
            let mut tell =
                |counted: Measured| println!("instructions: {} {:.0} {:.0}", counted.name, counted.ours, counted.peer);
            packets::run(&node::machines()?, &floor, &wanted, &mut tell)
        }
        Command::ConnectClient {
            direct,
            service,
            rounds,
        } => connect::client(direct, service, rounds),
        Command::ConnectServer { address } => pods::serve(address, drop),
        Command::RequestClient => requests::client(),
        Command::RequestServer { address } => requests::server(address),
        Command::Echo { address } => pods::echo(address),
        Command::SyncAsk { target } => sync::ask(target),
        Command::Report { results, document } => report::write(&Results::read(&results)?, &document),
    }
}

fn all() -> impl Iterator<Item = &'static Benchmark> {
    packets::BENCHMARKS
        .iter()
        .chain(&connect::BENCHMARKS)
        .chain(&requests::BENCHMARKS)
        .chain(&forward::BENCHMARKS)
        .chain(&sync::BENCHMARKS)
}
