//! The agent as a process: its command line, its checks, its tasks, its end.

mod args;
mod logging;
mod machine;
mod start;

pub use args::{Args, BindAddress, Command, Tc};
pub use start::{run, uninstall};

use crate::memory;

/// Sets up logging, then does what the command line says.
pub async fn main(args: &Args) -> anyhow::Result<()> {
    memory::give_back_large();
    let levels = logging::LINES.start(args.log_format, args.log.clone())?;
    match &args.command {
        None => run(args, levels).await,
        Some(Command::Uninstall) => uninstall(args),
    }
}
