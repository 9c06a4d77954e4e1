//! The command line of `kpr`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::exit;

/// Shows what kpr does on this node.
#[derive(Clone, Debug, Parser)]
#[command(name = "kpr", version, after_help = exit::HELP)]
pub struct Args {
    /// Where the agent keeps its things.
    #[command(flatten)]
    pub place: Place,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Where the agent of this node keeps its things.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// Directory on a BPF file system in which the agent pins its maps
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "KPR_BPFFS_ROOT",
        default_value = "/sys/fs/bpf/kpr"
    )]
    pub bpffs_root: PathBuf,
    /// The agent's run directory, which holds the socket of its local API
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "KPR_RUN_DIR",
        default_value = "/run/kpr"
    )]
    pub run_dir: PathBuf,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Is this node well, and how does it serve Services?
    ///
    /// Asks the agent. While the agent is down, shows what the pinned maps tell (the datapath goes on without the
    /// agent) and exits with 3.
    Status {
        /// Also show the background tasks, how Services are served, every map's size and fill, and drops by reason
        #[arg(long, short)]
        verbose: bool,
        /// How to print the answer
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
    /// The Services that this node serves.
    Service {
        /// What about them.
        #[command(subcommand)]
        command: ServiceCommand,
    },
    /// What happens to connections, live: flows that begin, and what is refused or dropped, one line each.
    ///
    /// Asks the agent, which loads programs that tell what they do for as long as somebody listens. What this command is too slow for, or
    /// the programs have no room for, is counted and shown.
    Monitor(super::monitor::Args),
    /// For a kubelet: is the agent alive, has it reached what it was told?
    ///
    /// Exits with 0 if so. Prints why if not.
    Probe {
        /// What is asked.
        #[arg(value_enum)]
        question: Question,
    },
}

/// What a kubelet asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Question {
    /// Does the agent answer?
    Live,
    /// Does the node serve Services as it was told, if it was told anything?
    Ready,
}

/// What about Services.
#[derive(Clone, Debug, Subcommand)]
pub enum ServiceCommand {
    /// List every frontend with its backends, as programmed.
    ///
    /// Reads the pinned maps, so it shows what packets meet, and works while the agent is down.
    List {
        /// How to print the answer
        #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
        output: Output,
    },
}

/// How to print an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn flags_of_the_place_may_stand_after_the_command() {
        let args = Args::try_parse_from(["kpr", "service", "list", "-o", "json", "--bpffs-root", "/b"]).unwrap();
        assert_eq!(args.place.bpffs_root, PathBuf::from("/b"));
        assert!(matches!(
            args.command,
            Command::Service {
                command: ServiceCommand::List { output: Output::Json }
            }
        ));
    }
}
