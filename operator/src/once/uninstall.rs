//! The orderly end: every node is clean before operator and agents go.

use std::time::Duration;

use kpr_crds::{KubeProxyReplacement, NodeDatapath};
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client, ResourceExt};
use tokio::time::{Instant, sleep};
use tracing::info;

use super::{PAUSE, some};
use crate::connect;

/// Why kpr is not gone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server refuses, or did not answer in time.
    #[error("{what}: {cause}")]
    Api {
        /// What can't be done.
        what: String,
        /// Why.
        cause: String,
    },
    /// Nodes are not done in time.
    #[error(
        "after {} s KubeProxyReplacement {policies} is not gone, as these nodes have not confirmed that their datapath is removed: \
         {nodes}. Is an operator running, and an agent on each of them? Try again, or, to leave these nodes as they are, take the \
         finalizer kpr.dev/datapath out of the object",
        waited.as_secs()
    )]
    NotGone {
        /// How long was waited.
        waited: Duration,
        /// What is left.
        policies: String,
        /// Nodes that still have a NodeDatapath.
        nodes: String,
    },
}

/// Deletes every `KubeProxyReplacement`, and waits until all are gone: each goes when its nodes have removed their datapath.
///
/// One that somebody makes meanwhile is deleted, too. Without the CRDs there is nothing to do.
pub async fn uninstall(client: Client, timeout: Duration) -> Result<(), Error> {
    let policies = Api::<KubeProxyReplacement>::all(client.clone());
    let datapaths = Api::<NodeDatapath>::all(client);
    let deadline = Instant::now() + timeout;
    let mut said = String::new();
    loop {
        let tried = step(&policies, &datapaths).await;
        if let Ok(None) = tried {
            info!("no KubeProxyReplacement is left: every node is clean");
            return Ok(());
        }
        if Instant::now() + PAUSE > deadline {
            return Err(match tried {
                Err(error) => error,
                Ok(left) => {
                    let Left { policies, nodes } = left.unwrap_or_default();
                    Error::NotGone {
                        waited: timeout,
                        policies: some(&policies),
                        nodes: some(&nodes),
                    }
                }
            });
        }
        let text = match tried {
            Ok(left) => {
                let Left { policies, nodes } = left.unwrap_or_default();
                format!("{} goes when these nodes are clean: {}", some(&policies), some(&nodes))
            }
            Err(error) => format!("{error}; trying again"),
        };
        if text != said {
            info!("{text}");
            said = text;
        }
        sleep(PAUSE).await;
    }
}

/// What is not gone yet.
#[derive(Debug, Default)]
struct Left {
    policies: Vec<String>,
    nodes: Vec<String>,
}

/// Deletes what nobody has deleted yet. Nothing: all is gone.
async fn step(policies: &Api<KubeProxyReplacement>, datapaths: &Api<NodeDatapath>) -> Result<Option<Left>, Error> {
    let Some(found) = list(policies, "KubeProxyReplacements").await? else {
        return Ok(None);
    };
    if found.is_empty() {
        return Ok(None);
    }
    for policy in found
        .iter()
        .filter(|policy| policy.metadata.deletion_timestamp.is_none())
    {
        let name = policy.name_any();
        match policies.delete(&name, &DeleteParams::default()).await {
            Ok(_) => info!("KubeProxyReplacement {name} is being deleted"),
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            Err(error) => {
                return Err(Error::Api {
                    what: format!("KubeProxyReplacement {name} can't be deleted"),
                    cause: connect::causes(&error),
                });
            }
        }
    }
    let nodes = list(datapaths, "NodeDatapaths").await?.unwrap_or_default();
    Ok(Some(Left {
        policies: found.iter().map(ResourceExt::name_any).collect(),
        nodes: nodes.iter().map(ResourceExt::name_any).collect(),
    }))
}

/// All objects of a kind; nothing if the API server does not know the kind.
async fn list<K>(api: &Api<K>, what: &str) -> Result<Option<Vec<K>>, Error>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    match api.list(&ListParams::default()).await {
        Ok(found) => Ok(Some(found.items)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(Error::Api {
            what: format!("{what} can't be listed"),
            cause: connect::causes(&error),
        }),
    }
}
