//! `kpr completion`: what shells need to complete command lines of `kpr`.

use std::io::Write;

use clap::CommandFactory as _;
use clap_complete::{Shell, generate};

use super::{Exit, args};

/// For whom.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a script for the shell to read.
pub(super) fn run(args: Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    // What is generated is written without a way to fail.
    let mut script = Vec::new();
    generate(args.shell, &mut args::Args::command(), "kpr", &mut script);
    out.write_all(&script)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_learns_of_every_command() {
        let command = args::Args::command();
        for &shell in Shell::value_variants() {
            let mut out = Vec::new();
            run(Args { shell }, &mut out).unwrap();
            let script = String::from_utf8(out).unwrap();
            for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell}: {}", command.get_name());
            }
        }
    }
}
