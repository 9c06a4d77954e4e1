//! The `kpr` command: what an operator asks a node.

mod absent;
mod affinity;
mod age;
mod args;
mod backend;
mod check;
mod completion;
mod conntrack;
mod diff;
mod exit;
mod explain;
mod log;
mod manual;
mod maps;
mod monitor;
mod names;
mod output;
mod probe;
mod protocol;
mod service;
mod status;
mod style;
mod sysdump;
mod table;
mod tree;

#[cfg(test)]
pub(crate) use status::golden;

use std::io::Write;

pub use args::{Args, Command};
pub use exit::Exit;
pub use output::Output;

/// Carries out one command and prints its answer to `out`, with colours.
pub async fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let place = &args.place;
    match &args.command {
        Command::Status(args) => status::run(place, args, out).await,
        Command::Service(command) => service::run(place, command, out).await,
        Command::Backend(command) => backend::run(place, command, out),
        Command::Conntrack(command) => conntrack::run(place, command, out),
        Command::Affinity(command) => affinity::run(place, command, out).await,
        Command::Maps(format) => maps::run(place, *format, out),
        Command::Diff(command) => diff::run(place, command, out).await,
        Command::Log(args) => log::run(place, args, out).await,
        Command::Sysdump(args) => sysdump::run(place, args, out).await,
        Command::Monitor(args) => monitor::run(place, args, out).await,
        Command::Explain(args) => Box::pin(explain::run(place, args, out)).await,
        Command::Completion(args) => completion::run(*args, out),
        Command::Manual(args) => manual::run(args, out),
        Command::Probe(args) => probe::run(place, args, out).await,
        Command::Check(command) => check::run(command, out).await,
        Command::Tree => tree::run(out),
    }
}
