//! `kubectl kpr check`: Services of every kind in a namespace of its own, asked from pods, from nodes and from here; then all of it goes.

mod ask;
mod cluster;
mod condition;
mod judge;
mod nodes;
mod objects;
mod outside;
mod plan;
mod report;
mod row;

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher as _, Hasher as _},
    num::NonZeroUsize,
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
use clap::{Parser, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use crate::{args::Args, output};
use ask::Asker;
use cluster::Cluster;
use report::{Format, Report};

const HELP: &str = "\
Exit codes:
  0  every check is ok, or was skipped for a reason that is told
  1  the check could not be done, or what it made could not be removed
  7  a check failed";

/// Does every kind of Service work, from pods, from nodes and from here?
///
/// Makes a namespace with servers and clients on some nodes, all of the agents' own image, and Services of every kind; asks them; prints who
/// answered; and removes the namespace, also after an error or Ctrl-C. Nothing else is changed.
#[derive(Clone, Debug, Parser)]
#[command(name = "check", bin_name = "kubectl kpr check", after_help = HELP)]
pub(crate) struct Options {
    /// Check so many nodes at most; --node, before `check`, names them
    #[arg(long, value_name = "NUMBER", default_value = "3")]
    nodes: NonZeroUsize,
    /// The image of the pods, which has the command kpr [default: the agents' own]. With it, nodes without an agent are checked too
    #[arg(long, value_name = "IMAGE")]
    image: Option<String>,
    /// Whether NodePorts are asked from this machine
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    outside: Outside,
    /// No pods on nodes' own network: they need a namespace at the level `privileged` of the Pod Security Standards
    #[arg(long)]
    no_host_network: bool,
    /// Seconds for the pods to start
    #[arg(long, value_name = "SECONDS", default_value = "120")]
    timeout: u64,
    /// Seconds for the Services to be served on every node: until then, what failed is asked again
    #[arg(long, value_name = "SECONDS", default_value = "20")]
    settle: u64,
    /// How to print the answer; wide: each question that was asked
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    output: Format,
    /// Only remove what runs that were killed have left; runs that are under way too
    #[arg(long)]
    clean: bool,
}

/// Whether this machine asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Outside {
    /// Nodes that can be reached from here.
    #[default]
    Auto,
    /// All nodes: one that can't be reached is a failure.
    Always,
    /// None.
    Never,
}

/// The first word of what is asked for.
pub(crate) const COMMAND: &str = "check";

/// What it ends with if a check failed.
const FAILED: u8 = 7;

/// Checks, or cleans up. `args.command` begins with [`COMMAND`].
pub(crate) async fn run(args: &Args) -> Result<u8> {
    let options: Options = args.options();
    if options.clean {
        return cluster::clean(args).await.map(|()| 0);
    }
    let nodes = nodes::choose(args, &options).await?;
    let cluster = Cluster::new(args, namespace_name(), nodes);
    // From now on a signal is no sudden end.
    let interrupted = interruption()?;
    let report = tokio::select! {
        biased;
        () = interrupted => Err(anyhow!("interrupted")),
        report = check(args, &options, &cluster) => report,
    };
    let removed = cluster.remove().await;
    let failed = match report {
        Ok(report) => {
            output::print(&report.print(options.output)?)?;
            report.has_failed()
        }
        Err(error) => {
            if let Err(removal) = removed {
                eprintln!("kubectl kpr: {removal:#}");
            }
            return Err(error);
        }
    };
    removed?;
    Ok(if failed { FAILED } else { 0 })
}

async fn check(args: &Args, options: &Options, cluster: &Cluster<'_>) -> Result<Report> {
    let pods_start = Duration::from_secs(options.timeout);
    let served = cluster.deploy(!options.no_host_network, pods_start).await?;
    let rows = plan::rows(&served, options.outside != Outside::Never);
    let asker = Asker {
        args,
        namespace: cluster.namespace(),
        outside: options.outside,
    };
    let settle = Duration::from_secs(options.settle);
    let results = asker.ask_until_settled(rows, settle).await?;
    Ok(Report::new(cluster.nodes(), results))
}

/// What nobody else has.
fn namespace_name() -> String {
    // Seeded by the system's randomness.
    let random = RandomState::new().build_hasher().finish();
    format!("kpr-check-{:010x}", random >> 24)
}

/// Ends with the first signal that asks for an end.
fn interruption() -> Result<impl Future<Output = ()>> {
    let cannot = "cannot wait for signals";
    let mut interrupt = signal(SignalKind::interrupt()).context(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).context(cannot)?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn every_run_has_a_namespace_of_its_own() {
        let names = [namespace_name(), namespace_name()];
        assert_ne!(names[0], names[1]);
        for name in names {
            let random = name.strip_prefix("kpr-check-").expect("a prefix");
            assert!(
                random.len() == 10 && random.chars().all(|c| c.is_ascii_hexdigit()),
                "{name}"
            );
        }
    }
}
