//! Tells what goes wrong with traffic as Events of the own NodeDatapath, for whoever describes it.

use std::sync::Arc;

use kpr_crds::{NodeDatapath, conditions::NodeReason};
use kube::{
    Api, Client, Resource,
    runtime::events::{Event, EventType, Recorder},
};
use tokio::sync::watch;
use tracing::warn;

use crate::{agent::Snapshot, recorder::recorder, watch::chain};

/// Where Events go.
#[derive(Clone)]
pub struct Events {
    datapaths: Api<NodeDatapath>,
    recorder: Recorder,
    node: String,
}

impl Events {
    /// In the name of the agent of `node`, about its NodeDatapath.
    pub fn new(client: Client, node: &str) -> Self {
        Self {
            recorder: recorder(client.clone(), node),
            datapaths: Api::all(client),
            node: node.to_owned(),
        }
    }

    /// Follows the agent, and publishes one Event each time that something begins to go wrong. Ends when the agent's snapshots do.
    pub async fn tell(self, mut snapshots: watch::Receiver<Arc<Snapshot>>) {
        let mut told = None;
        loop {
            let exhausted = snapshots.borrow_and_update().troubles.exhausted.clone();
            if exhausted != told {
                if let Some(note) = &exhausted
                    && let Err(error) = self.publish(note.clone()).await
                {
                    // The condition and the log say the same: an Event that is lost is a pity, no failure.
                    warn!(
                        "an Event about this node's datapath cannot be published: {}",
                        chain(&error)
                    );
                }
                told = exhausted;
            }
            if snapshots.changed().await.is_err() {
                return;
            }
        }
    }

    async fn publish(&self, note: String) -> Result<(), kube::Error> {
        // `kubectl describe` finds Events by the object's uid.
        let Some(object) = self.datapaths.get_opt(&self.node).await? else {
            return Ok(());
        };
        let event = Event {
            type_: EventType::Warning,
            reason: NodeReason::SnatPortsExhausted.as_str().to_owned(),
            note: Some(note),
            action: "Translate".to_owned(),
            secondary: None,
        };
        self.recorder.publish(&event, &object.object_ref(&())).await
    }
}
