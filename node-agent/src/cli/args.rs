//! The command line of `kpr`. Each command has its own arguments beside it.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::{
    affinity, backend, check, completion, conntrack, diff, exit, explain, log, manual, monitor, output::Format, probe,
    service, status, sysdump,
};

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
    Status(status::Args),
    /// The Services that this node serves.
    #[command(subcommand)]
    Service(service::Command),
    /// The backends that its frontends lead to.
    #[command(subcommand)]
    Backend(backend::Command),
    /// The flows that it translates packet by packet.
    #[command(subcommand)]
    Conntrack(conntrack::Command),
    /// The clients that stick to a backend.
    #[command(subcommand)]
    Affinity(affinity::Command),
    /// The pinned maps: kinds, sizes, fill and memory.
    ///
    /// Works while the agent is down.
    Maps(Format),
    /// What kube-proxy has programmed otherwise than kpr.
    #[command(subcommand)]
    Diff(diff::Command),
    /// Which log lines the agent writes: show it, or change it while it runs.
    Log(log::Args),
    /// What happens to connections, live: flows that begin, and what is refused or dropped, one line each.
    ///
    /// Asks the agent, which loads programs that tell what they do for as long as somebody listens. What this command is too slow for, or
    /// the programs have no room for, is counted and shown.
    Monitor(monitor::Args),
    /// Gather what a bug report needs from this node into one archive, without secrets.
    ///
    /// State, frontends, backends, flows, maps, metrics, devices, routes, sysctls, and kube-proxy's rules where they differ. Whatever can't
    /// be gathered leaves its error in the archive instead. Exits with 1 only if no archive could be written.
    Sysdump(sysdump::Args),
    /// What would become of a packet or a connection, and why: which frontend it is for, which backends it may get, what leaves the node.
    ///
    /// Such as: kpr explain tcp 10.96.0.10:53 --from pod/default/web-0
    ///
    /// Runs the programs of this node on a packet, or a connect, that nobody sends, with copies of what they would change: nothing on the
    /// node is. The answer is what such a packet meets now; where a backend is chosen by chance, the next one may get another.
    Explain(explain::Args),
    /// Print a script by which a shell completes command lines of kpr.
    ///
    /// Such as: source <(kpr completion bash)
    Completion(completion::Args),
    /// Print a manual page, for man or groff.
    ///
    /// Such as: kpr manual conntrack list | man -l -
    Manual(manual::Args),
    /// For a kubelet: is the agent alive, has it reached what it was told?
    ///
    /// Exits with 0 if so. Prints why if not.
    Probe(probe::Args),
    /// For `kubectl kpr check`, in its pods.
    #[command(subcommand, hide = true)]
    Check(check::Command),
    /// For `kubectl kpr`, which completes command lines of kpr: all that there is of them.
    #[command(hide = true)]
    Tree,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::{super::Output, *};

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
            Command::Service(service::Command::List(format)) if format.output == Output::Json
        ));
    }
}
