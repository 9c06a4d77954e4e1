//! The agent of one node.

use std::process::ExitCode;

use clap::Parser;
use kpr_node_agent::daemon::{self, Args};

#[tokio::main]
async fn main() -> ExitCode {
    match daemon::main(&Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // One sentence, and its causes.
            eprintln!("kpr-node-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}
