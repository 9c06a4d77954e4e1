//! `kpr status`: is this node well, and how does it serve Services?

mod brief;
mod offline;
mod verbose;

#[cfg(test)]
pub(crate) mod golden;

use std::io::Write;

use super::{Exit, Output, args::Place, print_json};
use crate::observe::{
    self, ClientError,
    api::{Phase, Status},
};

/// Asks the agent and prints what it says; while it is down, prints what the pinned maps tell.
pub(super) async fn run(place: &Place, verbose: bool, output: Output, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match observe::get_status(&place.run_dir).await {
        Ok(status) => {
            match output {
                Output::Json => print_json(out, &status)?,
                Output::Text if verbose => write!(out, "{}", verbose::render(&status))?,
                Output::Text => write!(out, "{}", brief::render(&status))?,
            }
            Ok(verdict(&status))
        }
        Err(error) if error.is_unreachable() => {
            without_agent(place, &error, output, out)?;
            Ok(Exit::AgentUnreachable)
        }
        Err(error) => Err(error.into()),
    }
}

fn without_agent(place: &Place, error: &ClientError, output: Output, out: &mut dyn Write) -> anyhow::Result<()> {
    let found = offline::look(&place.bpffs_root, error.to_string());
    match output {
        Output::Json => print_json(out, &found),
        Output::Text => Ok(write!(out, "{found}")?),
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
