//! `kpr`: shows what kpr does on this node.

use std::io::{self, BufWriter, Write};

use clap::Parser;
use kpr_node_agent::cli::{Args, Exit, run};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    let args = Args::parse();
    // Takes colours out unless it is a terminal.
    let mut out = BufWriter::new(anstream::stdout());
    let result = run(&args, &mut out).await;
    let printed = out.flush().map_err(anyhow::Error::from);
    match (result, printed) {
        // A reader that has seen enough is no error.
        (Ok(exit), Err(error)) if is_closed_pipe(&error) => exit,
        (Err(error), _) if is_closed_pipe(&error) => Exit::Ok,
        (Ok(exit), Ok(())) => exit,
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("kpr: {error:#}");
            Exit::Error
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let cause = error.root_cause().downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}
