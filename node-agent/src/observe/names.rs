//! Whose frontends are, and where Pods are: maps hold addresses, the agent knows the objects that have them.

use std::net::IpAddr;

use tokio::sync::{mpsc, oneshot};

use super::api::FrontendName;
use crate::model::NamespacedName;

/// Questions that wait for the agent's core, which answers one after the other.
const WAITING: usize = 8;

/// Where the local API asks.
#[derive(Clone, Debug)]
pub struct Names(mpsc::Sender<NameQuestion>);

/// A question, and where the answer goes.
#[derive(Debug)]
pub enum NameQuestion {
    /// What every frontend is called.
    Frontends(oneshot::Sender<Vec<FrontendName>>),
    /// Which addresses a Pod of this node has.
    Pod(NamespacedName, oneshot::Sender<Vec<IpAddr>>),
}

/// The two ends.
pub fn names() -> (Names, mpsc::Receiver<NameQuestion>) {
    let (ask, questions) = mpsc::channel(WAITING);
    (Names(ask), questions)
}

impl Names {
    /// Every frontend that Services and Pods have, as the core knows them; none if it has ended.
    pub async fn frontends(&self) -> Option<Vec<FrontendName>> {
        self.ask(NameQuestion::Frontends).await
    }

    /// The addresses of a Pod that runs on this node; an empty list if there is no such one, none if the core has ended.
    pub async fn pod(&self, name: NamespacedName) -> Option<Vec<IpAddr>> {
        self.ask(|answer| NameQuestion::Pod(name, answer)).await
    }

    async fn ask<T>(&self, question: impl FnOnce(oneshot::Sender<T>) -> NameQuestion) -> Option<T> {
        let (to, answer) = oneshot::channel();
        self.0.send(question(to)).await.ok()?;
        answer.await.ok()
    }
}
