//! `kpr probe`: what a kubelet asks of the agent's container.
//!
//! Not by the health port (`:10256`): that is open only while kpr serves the node, and until then it may be kube-proxy's.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

use super::{Exit, args::Place, output::Format};
use crate::observe::{
    self,
    api::{Phase, Status},
};

/// What is asked.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Args {
    /// What is asked
    #[arg(value_enum)]
    question: Question,
    #[command(flatten)]
    format: Format,
}

/// What a kubelet asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Question {
    /// Does the agent answer?
    Live,
    /// Does the node serve Services as it was told, if it was told anything?
    Ready,
}

/// The answer.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    ok: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// Answers in one line, and by the exit code.
pub(super) async fn run(place: &Place, args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let (message, exit) = match observe::get_status(&place.run_dir).await {
        Ok(status) => match args.question {
            Question::Live => (None, Exit::Ok),
            Question::Ready => {
                let message = unready(&status);
                let exit = if message.is_none() { Exit::Ok } else { Exit::Unhealthy };
                (message, exit)
            }
        },
        Err(error) if error.is_unreachable() => (Some(error.to_string()), Exit::AgentUnreachable),
        Err(error) => return Err(error.into()),
    };
    let answer = Answer {
        ok: message.is_none(),
        message,
    };
    let page = || answer.message.iter().map(|message| format!("{message}\n")).collect();
    args.format.output.print(out, &answer, page)?;
    Ok(exit)
}

/// Why the agent has not reached what it was told. One that was told nothing has: its node is in no pool.
///
/// A Service that can't be programmed is no reason: it would stop a rollout of agents on every node at once.
fn unready(status: &Status) -> Option<String> {
    if let Some(message) = &status.message {
        return Some(message.clone());
    }
    match status.phase {
        Phase::Active | Phase::Removed => None,
        Phase::Waiting if status.kubernetes.reachable => None,
        Phase::Waiting => Some(format!(
            "the API server at {} does not answer",
            status.kubernetes.server
        )),
        Phase::Syncing => Some("Services are not yet known in full".to_owned()),
        Phase::Draining => Some("the datapath is being removed".to_owned()),
        Phase::Failed => Some("the datapath is not loaded".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::status::golden::well;

    fn in_phase(phase: Phase) -> Status {
        Status { phase, ..well() }
    }

    #[test]
    fn an_agent_that_serves_or_has_nothing_to_serve_is_ready() {
        for phase in [Phase::Active, Phase::Waiting, Phase::Removed] {
            assert_eq!(unready(&in_phase(phase)), None, "{phase:?}");
        }
        let mut pending = well();
        pending.services.pending = 1;
        assert_eq!(unready(&pending), None, "one Service does not stop a rollout of agents");
    }

    #[test]
    fn an_agent_on_its_way_or_in_trouble_says_why_it_is_not_ready() {
        for phase in [Phase::Syncing, Phase::Draining, Phase::Failed] {
            assert!(unready(&in_phase(phase)).is_some(), "{phase:?}");
        }
        let mut alone = in_phase(Phase::Waiting);
        alone.kubernetes.reachable = false;
        assert_eq!(
            unready(&alone).as_deref(),
            Some("the API server at https://192.168.49.2:8443/ does not answer")
        );
        let troubled = Status {
            message: Some("no network device matches \"ens9\"".into()),
            ..well()
        };
        assert_eq!(unready(&troubled), troubled.message);
    }
}
