//! Asking again and again.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt as _, stream};
use jiff::Timestamp;
use tokio::{sync::watch, time::sleep};

use super::{Asked, ClusterHealth, Peer, ask::ask, choose::choose};
use crate::{agent::Snapshot, observe::Task};

/// From one round to the next, after [`PAUSE`].
const EVERY: Duration = Duration::from_secs(28);
/// The same after one in which somebody did not answer.
const SOON: Duration = Duration::from_secs(8);
/// At least so long after one, however often agents come and go.
const PAUSE: Duration = Duration::from_secs(2);
/// So many are asked at a time.
const AT_ONCE: usize = 4;

/// Asks the agents that `snapshots` name, and tells what they say; again when others are there. Ends when the agent's snapshots do.
pub async fn watch(
    own: String,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    found: watch::Sender<Arc<ClusterHealth>>,
    task: Task,
) {
    let mut told = None;
    loop {
        let peers = Arc::clone(&snapshots.borrow_and_update().peers);
        let health = round(&own, &peers).await;
        // That another node is away is no failure of this one's.
        task.succeeded(Timestamp::now());
        let silence = silent(&health);
        if silence != told {
            if let Some(message) = &silence {
                tracing::warn!("{message}");
            } else {
                tracing::info!("every agent that is asked answers");
            }
        }
        let every = if silence.is_some() { SOON } else { EVERY };
        told = silence;
        found.send_replace(Arc::new(health));
        sleep(PAUSE).await;
        let others = snapshots.wait_for(|snapshot| snapshot.peers != peers);
        tokio::select! {
            () = sleep(every) => {}
            ended = others => if ended.is_err() { return },
        }
    }
}

async fn round(own: &str, peers: &[Peer]) -> ClusterHealth {
    let asked = stream::iter(choose(own, peers)).map(|peer| async move {
        Asked {
            own: *peer.node == *own,
            answer: ask(peer.address).await,
            peer,
        }
    });
    ClusterHealth {
        asked: asked.buffered(AT_ONCE).collect().await,
        known: peers.len(),
        at: Some(Timestamp::now()),
    }
}

/// A sentence about those that did not answer, if there are any.
fn silent(health: &ClusterHealth) -> Option<String> {
    let mut silent = health
        .asked
        .iter()
        .filter_map(|asked| Some((asked, asked.answer.as_ref().err()?)));
    let (first, why) = silent.next()?;
    let more = match silent.count() {
        0 => String::new(),
        more => format!(" (and {more} more)"),
    };
    Some(format!(
        "the agent of {} is not reached at {}: {why}{more}",
        first.peer.node, first.peer.address
    ))
}

#[cfg(test)]
mod tests {
    use super::{super::Answer, *};

    fn asked(node: &str, answer: Result<Answer, String>) -> Asked {
        Asked {
            peer: Peer {
                node: node.into(),
                address: ([192, 168, 49, 3], 10256).into(),
            },
            own: false,
            answer,
        }
    }

    #[test]
    fn only_agents_that_are_not_reached_are_a_failure() {
        let answer = |serves| {
            Ok(Answer {
                serves,
                took: Duration::from_millis(1),
            })
        };
        let mut health = ClusterHealth {
            asked: vec![asked("node-a", answer(true)), asked("node-b", answer(false))],
            ..ClusterHealth::default()
        };
        assert_eq!(silent(&health), None);
        health
            .asked
            .push(asked("node-c", Err("no answer within 3 s".to_owned())));
        health.asked.push(asked("node-d", Err("refused".to_owned())));
        let expected = "the agent of node-c is not reached at 192.168.49.3:10256: no answer within 3 s (and 1 more)";
        assert_eq!(silent(&health).as_deref(), Some(expected));
    }
}
