//! `kubectl-kpr program`: the plugin itself. The agents' image has it, so a cluster with kpr is all that one needs to get it from.

use std::{env, fs::File, io, io::Write as _};

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::{args::Args, output};

/// Writes this program to the standard output.
///
/// From the agents' image, so that nobody has to build it: there it is static, and runs on any Linux of the same architecture.
#[derive(Clone, Debug, Parser)]
#[command(name = "program", bin_name = "kubectl kpr program")]
pub(crate) struct Options {}

/// The first word of what is asked for.
pub(crate) const COMMAND: &str = "program";

/// Writes it. `args.command` begins with [`COMMAND`].
pub(crate) fn run(args: &Args) -> Result<u8> {
    let Options {} = args.options();
    let mut out = output::no_terminal("a program")?;
    let cannot = "cannot read this program";
    let file = env::current_exe().context(cannot)?;
    let mut program = File::open(file).context(cannot)?;
    let written = io::copy(&mut program, &mut out).and_then(|_size| out.flush());
    written.context("cannot write this program")?;
    Ok(0)
}
