//! The `kpr` command: what an operator asks a node.

mod age;
mod args;
mod exit;
mod monitor;
mod probe;
mod service;
mod status;
mod table;

#[cfg(test)]
pub(crate) use status::golden;

use std::io::Write;

use anyhow::Context;

pub use args::{Args, Command, Output, Question, ServiceCommand};
pub use exit::Exit;

/// Carries out one command and prints its answer to `out`.
pub async fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Status { verbose, output } => status::run(&args.place, *verbose, *output, out).await,
        Command::Service {
            command: ServiceCommand::List { output },
        } => service::list(&args.place, *output, out),
        Command::Monitor(asked) => monitor::run(&args.place, asked).await,
        Command::Probe { question } => probe::run(&args.place, *question, out).await,
    }
}

/// Prints a value as JSON that people can read too.
fn print_json(out: &mut dyn Write, value: &impl serde::Serialize) -> anyhow::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value).context("cannot print JSON")?;
    writeln!(out)?;
    Ok(())
}
