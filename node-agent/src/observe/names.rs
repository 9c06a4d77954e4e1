//! Whose frontends are: maps hold addresses, the agent knows the Services that they are of.

use tokio::sync::{mpsc, oneshot};

use super::api::FrontendName;

/// Questions that wait for the agent's core, which answers one after the other.
const WAITING: usize = 8;

/// Where the local API asks.
#[derive(Clone, Debug)]
pub struct Names(mpsc::Sender<NameQuestion>);

/// A question: where the answer goes.
pub type NameQuestion = oneshot::Sender<Vec<FrontendName>>;

/// The two ends.
pub fn names() -> (Names, mpsc::Receiver<NameQuestion>) {
    let (ask, questions) = mpsc::channel(WAITING);
    (Names(ask), questions)
}

impl Names {
    /// Every frontend that Services and Pods have, as the core knows them; none if it has ended.
    pub async fn ask(&self) -> Option<Vec<FrontendName>> {
        let (question, answer) = oneshot::channel();
        self.0.send(question).await.ok()?;
        answer.await.ok()
    }
}
