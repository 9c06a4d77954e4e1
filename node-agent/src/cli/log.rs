//! `kpr log`: which log lines the agent writes.

use std::io::Write;

use super::{Exit, args::Place, output::Format};
use crate::observe::{self, api::Log};

/// What is asked, or wanted.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// From now on: a level (error, warn, info, debug, trace), or a list such as `info,kpr_node_agent::watch=debug`; not given: show what is
    /// in force
    #[arg(value_name = "FILTER", conflicts_with = "reset")]
    filter: Option<String>,
    /// Go back to what the agent was started with
    #[arg(long)]
    reset: bool,
    #[command(flatten)]
    format: Format,
}

/// Asks the agent, or tells it, and prints what is in force then.
pub(super) async fn run(place: &Place, args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let run_dir = &place.run_dir;
    let answer = match (&args.filter, args.reset) {
        (Some(filter), _) => observe::set_log(run_dir, filter).await,
        (None, true) => match observe::get_log(run_dir).await {
            Ok(Log { initial, .. }) => observe::set_log(run_dir, &initial).await,
            Err(error) => Err(error),
        },
        (None, false) => observe::get_log(run_dir).await,
    };
    match answer {
        Ok(log) => {
            args.format.output.print(out, &log, || page(&log))?;
            Ok(Exit::Ok)
        }
        Err(error) if error.is_unreachable() => {
            eprintln!("kpr: {error}");
            Ok(Exit::AgentUnreachable)
        }
        Err(error) => Err(error.into()),
    }
}

fn page(log: &Log) -> String {
    let Log { filter, initial, .. } = log;
    if filter == initial {
        format!("{filter}\n")
    } else {
        format!("{filter} (until the agent restarts: {initial})\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_outlast_the_agent_is_told() {
        let log = |filter: &str| Log::new(filter.to_owned(), "info".to_owned());
        assert_eq!(page(&log("info")), "info\n");
        assert_eq!(page(&log("debug")), "debug (until the agent restarts: info)\n");
    }
}
