//! `kpr status`: is this node well, and how does it serve Services?

mod brief;
mod offline;
mod verbose;

#[cfg(test)]
pub(crate) mod golden;

use std::io::Write;

use super::{Exit, Output, args::Place, output::Format};
use crate::observe::{
    self,
    api::{Phase, Status},
};

/// How much of it.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// Also show the background tasks, how Services are served, every map's size and fill, and drops by reason: `-o wide`
    #[arg(long, short)]
    verbose: bool,
    #[command(flatten)]
    format: Format,
}

/// Asks the agent and prints what it says; while it is down, prints what the pinned maps tell.
pub(super) async fn run(place: &Place, args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let output = args.format.output;
    match observe::get_status(&place.run_dir).await {
        Ok(status) => {
            let is_verbose = args.verbose || output == Output::Wide;
            let page = || {
                if is_verbose {
                    verbose::render(&status)
                } else {
                    brief::render(&status)
                }
            };
            output.print(out, &status, page)?;
            Ok(verdict(&status))
        }
        Err(error) if error.is_unreachable() => {
            let found = offline::look(&place.bpffs_root, error.to_string());
            output.print(out, &found, || found.to_string())?;
            Ok(Exit::AgentUnreachable)
        }
        Err(error) => Err(error.into()),
    }
}

/// Whether the node serves Services as it should.
fn verdict(status: &Status) -> Exit {
    if status.phase == Phase::Active && status.services.pending == 0 && status.message.is_none() {
        Exit::Ok
    } else {
        Exit::Unhealthy
    }
}
