//! kpr's benchmarks: each compares one thing that kpr does with a peer, in turns and in one run. `cargo xtask bench` builds and
//! starts them.

mod catalogue;
mod checksum;
mod cli;
mod connect;
mod contest;
mod forward;
mod machine;
mod node;
mod packets;
mod plot;
mod pods;
mod report;
mod requests;
mod results;
mod rules;
mod sync;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::run(cli::Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("kpr-bench: error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
