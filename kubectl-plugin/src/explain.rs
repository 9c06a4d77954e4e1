//! `kubectl kpr explain … --from pod/NAMESPACE/NAME`: only the node that the pod runs on can say what becomes of its connections.

use std::fmt;

use anyhow::{Context as _, Result};

use crate::{
    args::Args,
    pods::{self, Pod},
};

/// What asks for it.
const COMMAND: &str = "explain";
const FLAG: &str = "--from";
const KIND: &str = "pod/";

/// What `kubectl kpr` ends with then, as kpr does on a node that does not have the pod.
pub(crate) const ABSENT: u8 = 5;

/// The pod whose connection is explained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Client<'a> {
    namespace: &'a str,
    name: &'a str,
}

/// There is no node to ask.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Absent {
    #[error("there is no {0}")]
    NoPod(String),
    #[error("{0} is not scheduled to a node yet")]
    NotScheduled(String),
    #[error("{pod} is on {node}, and --node names others")]
    Elsewhere { pod: String, node: String },
}

impl<'a> Client<'a> {
    /// None: another command, or a client that is no pod with a name. What is written wrongly is left to kpr, which says so.
    pub(crate) fn of(args: &'a Args) -> Option<Self> {
        if args.command.first()? != COMMAND {
            return None;
        }
        let (namespace, name) = args.value_of(FLAG)?.strip_prefix(KIND)?.split_once('/')?;
        let is_whole = !namespace.is_empty() && !name.is_empty() && !name.contains('/');
        is_whole.then_some(Self { namespace, name })
    }

    /// The agent's pod on its node. An error is [`Absent`] if the cluster has no such node.
    pub(crate) async fn pods(self, args: &Args) -> Result<Vec<Pod>> {
        let node = self.node(args).await?;
        if !args.node.is_empty() && !args.node.contains(&node) {
            let pod = self.to_string();
            return Err(Absent::Elsewhere { pod, node }.into());
        }
        let alone = Args {
            node: vec![node],
            ..args.clone()
        };
        let cannot = || format!("{self} is on {}", alone.node[0]);
        pods::find(&alone).await.with_context(cannot)
    }

    async fn node(self, args: &Args) -> Result<String> {
        let cannot = || format!("the node of {self} is not known");
        let found = pods::get(args, self.namespace, self.name).await.with_context(cannot)?;
        let pod = found.ok_or_else(|| Absent::NoPod(self.to_string()))?;
        Ok(pod.node().ok_or_else(|| Absent::NotScheduled(self.to_string()))?)
    }
}

impl fmt::Display for Client<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pod {}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn a_client_with_a_node_of_its_own_is_a_pod_with_a_name() {
        let pod = Some(("default", "web-0"));
        for (line, client) in [
            ("explain tcp 10.96.0.1:80 --from pod/default/web-0", pod),
            ("--node a explain --from=pod/default/web-0 tcp 10.96.0.1:80", pod),
            ("explain tcp 10.96.0.1:80 --from pod=10.244.0.7", None),
            ("explain tcp 10.96.0.1:80 --from outside=203.0.113.9", None),
            ("explain tcp 10.96.0.1:80 --from node", None),
            ("explain tcp 10.96.0.1:80 --from pod/web-0", None),
            ("explain tcp 10.96.0.1:80 --from pod/default/web/0", None),
            ("explain tcp 10.96.0.1:80 --from", None),
            ("explain tcp 10.96.0.1:80", None),
            ("status --from pod/default/web-0", None),
        ] {
            let args = Args::try_parse_from(["kubectl-kpr"].into_iter().chain(line.split(' '))).unwrap();
            let found = Client::of(&args).map(|client| (client.namespace, client.name));
            assert_eq!(found, client, "{line}");
        }
    }
}
