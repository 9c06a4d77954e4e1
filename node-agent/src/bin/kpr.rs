//! `kpr`: shows what kpr does on this node.

use std::io::Write;

use clap::Parser;
use kpr_node_agent::cli::{Args, Exit, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    let args = Args::parse();
    // Printed at once at the end: a reader that closes the pipe early must not look like an error halfway.
    let mut out = Vec::new();
    let exit = run(&args, &mut out).await.unwrap_or_else(|error| {
        eprintln!("kpr: {error:#}");
        Exit::Error
    });
    match std::io::stdout().write_all(&out) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("kpr: cannot print: {error}");
            Exit::Error
        }
        _ => exit,
    }
}
