//! In whose name the agent publishes Events.

use kpr_crds::names::AGENT_MANAGER;
use kube::{
    Client,
    runtime::events::{Recorder, Reporter},
};

/// Publishes in the name of the agent of `node`.
pub(crate) fn recorder(client: Client, node: &str) -> Recorder {
    let reporter = Reporter {
        controller: AGENT_MANAGER.to_owned(),
        instance: Some(node.to_owned()),
    };
    Recorder::new(client, reporter)
}
