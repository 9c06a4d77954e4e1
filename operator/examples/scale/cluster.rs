//! Nodes, their agents, and the API server.

use std::collections::HashMap;
use std::fmt;
use std::net::TcpListener;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use futures::{StreamExt, future};
use jiff::Timestamp;
use kpr_apiserver::{ApiServer, Serving};
use kpr_crds::conditions::{self, NodeCondition, NodeReason, Observation};
use kpr_crds::names::AGENT_MANAGER;
use kpr_crds::{KubeProxyReplacement, MapStatus, NodeDatapath, NodeDatapathStatus};
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// User agent of all but the operator.
const OTHERS: &str = "scale";
/// Labels of a Node of a cloud provider.
const LABELS: usize = 25;
/// Images that a Node says it has.
const IMAGES: usize = 50;
/// Maps of an agent.
const MAPS: usize = 30;
/// Agents that write at the same time.
const AT_A_TIME: usize = 8;

/// A cluster in which nothing runs but agents.
pub(crate) struct Cluster {
    api: ApiServer,
    serving: Serving,
    agents: JoinHandle<()>,
    policy: Arc<Mutex<Option<KubeProxyReplacement>>>,
    watch: JoinHandle<()>,
}

/// Requests of the operator, by verb and target.
#[derive(Default, PartialEq)]
pub(crate) struct Requests(Vec<(String, u32)>);

impl Cluster {
    pub(crate) fn start(nodes: usize) -> anyhow::Result<Self> {
        let options = kpr_apiserver::Options {
            log_capacity: 20 * nodes.max(1000),
            ..kpr_apiserver::Options::default()
        };
        let api = ApiServer::with_options(options);
        for crd in kpr_crds::codegen::crds() {
            let mut crd = serde_json::to_value(crd)?;
            crd["apiVersion"] = json!("apiextensions.k8s.io/v1");
            crd["kind"] = json!("CustomResourceDefinition");
            api.create(crd)?;
        }
        for number in 0..nodes {
            api.create(node(number))?;
        }
        let serving = api.serve(TcpListener::bind("127.0.0.1:0")?)?;
        let client = api.client_as(OTHERS);
        let policy = Arc::default();
        let agents = tokio::spawn(answer(Api::all(client.clone())));
        let watch = tokio::spawn(look(Api::all(client), Arc::clone(&policy)));
        api.clear_requests();
        Ok(Self {
            api,
            serving,
            agents,
            policy,
            watch,
        })
    }

    pub(crate) fn serving(&self) -> &Serving {
        &self.serving
    }

    pub(crate) fn client(&self) -> Client {
        self.api.client_as(OTHERS)
    }

    pub(crate) fn create_policy(&self, max_unavailable: &str) -> anyhow::Result<()> {
        let max_unavailable = max_unavailable
            .parse::<i32>()
            .map_or_else(|_| json!(max_unavailable), |nodes| json!(nodes));
        self.api.create(json!({
            "apiVersion": "kpr.dev/v1alpha1", "kind": "KubeProxyReplacement", "metadata": { "name": "default" },
            "spec": { "updateStrategy": { "maxUnavailable": max_unavailable } },
        }))?;
        Ok(())
    }

    /// Gives it another configuration.
    pub(crate) async fn change_policy(&self) -> anyhow::Result<()> {
        let policies = Api::<KubeProxyReplacement>::all(self.client());
        let patch = Patch::Merge(json!({ "spec": { "sessionAffinity": { "defaultTimeoutSeconds": 60 } } }));
        policies.patch("default", &PatchParams::default(), &patch).await?;
        Ok(())
    }

    pub(crate) fn is_rolled_out(&self, generation: i64) -> bool {
        let policy = self.policy.lock().expect("the policy");
        let status = policy.as_ref().and_then(|policy| policy.status.as_ref());
        status.is_some_and(|status| {
            let rollout = status.rollout.as_ref();
            rollout.and_then(|rollout| rollout.completed_generation) == Some(generation)
                && status.updated_nodes == status.desired_nodes
                && status.ready_nodes == status.desired_nodes
        })
    }

    pub(crate) fn requests(&self) -> Requests {
        let mut counts: HashMap<String, u32> = HashMap::new();
        for request in self.api.requests().all().iter().filter(|r| r.user_agent != OTHERS) {
            *counts
                .entry(format!("{} {}", request.verb, request.target()))
                .or_default() += 1;
        }
        let mut counts: Vec<_> = counts.into_iter().collect();
        counts.sort();
        Requests(counts)
    }

    pub(crate) fn forget_requests(&self) {
        self.api.clear_requests();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.agents.abort();
        self.watch.abort();
    }
}

impl Requests {
    pub(crate) fn total(&self) -> u32 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    pub(crate) fn without_lease(&self) -> u32 {
        let others = self.0.iter().filter(|(what, _)| !what.ends_with(" leases"));
        others.map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<_> = self.0.iter().map(|(what, count)| format!("{count} {what}")).collect();
        write!(f, "requests: {}", parts.join(", "))
    }
}

/// A Node as large as those of cloud providers.
fn node(number: usize) -> Value {
    let name = format!("node-{number:05}");
    let labels: serde_json::Map<String, Value> = (0..LABELS)
        .map(|label| {
            (
                format!("example.com/label-{label}"),
                json!(format!("value-{}", label * (number % 7))),
            )
        })
        .chain([("kubernetes.io/hostname".to_owned(), json!(name))])
        .collect();
    let images: Vec<_> = (0..IMAGES)
        .map(|image| json!({ "names": [format!("registry.example.com/team/image-{image}@sha256:{:064}", image)], "sizeBytes": 1 }))
        .collect();
    let now = Timestamp::now().to_string();
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": { "name": name, "labels": labels },
        "status": {
            "images": images,
            "conditions": [{ "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "",
                             "lastHeartbeatTime": now, "lastTransitionTime": now }],
        },
    })
}

/// Agents: each carries out what it is told at once, some at a time: the API server has others to answer too.
async fn answer(datapaths: Api<NodeDatapath>) {
    let some = Arc::new(Semaphore::new(AT_A_TIME));
    let mut objects = pin!(
        watcher(datapaths.clone(), watcher::Config::default())
            .default_backoff()
            .applied_objects()
    );
    let mut seen = HashMap::new();
    while let Some(object) = objects.next().await {
        let Ok(object) = object else { continue };
        let generation = object.metadata.generation;
        if seen.insert(object.name_any(), generation) != Some(generation) {
            let (datapaths, some) = (datapaths.clone(), Arc::clone(&some));
            tokio::spawn(async move {
                let _turn = some.acquire().await?;
                ready(&datapaths, &object).await
            });
        }
    }
}

async fn ready(datapaths: &Api<NodeDatapath>, object: &NodeDatapath) -> anyhow::Result<()> {
    let holds = [
        (NodeCondition::Ready, NodeReason::Serving),
        (NodeCondition::DevicesAttached, NodeReason::Attached),
        (NodeCondition::ServicesSynced, NodeReason::Synced),
        (NodeCondition::KubeProxyAbsent, NodeReason::NotFound),
    ];
    let observations = holds.map(|(type_, reason)| Observation {
        type_: type_.as_str(),
        status: true.into(),
        reason: reason.as_str(),
        message: "what an agent says when all is well, in about as many words".to_owned(),
    });
    let maps = (0..MAPS).map(|map| MapStatus {
        name: format!("MAP_{map}"),
        capacity: 65536,
        entries: 100,
    });
    let status = NodeDatapathStatus {
        observed_generation: object.metadata.generation,
        policy_generation: Some(object.spec.policy_generation),
        agent_version: Some("0.1.0".to_owned()),
        conditions: conditions::apply(&[], observations.into(), object.metadata.generation, Timestamp::now()),
        maps: maps.collect(),
        ..NodeDatapathStatus::default()
    };
    let body = json!({
        "apiVersion": "kpr.dev/v1alpha1", "kind": "NodeDatapath", "metadata": { "name": object.name_any() },
        "status": status,
    });
    let params = PatchParams::apply(AGENT_MANAGER).force();
    let written = datapaths
        .patch_status(&object.name_any(), &params, &Patch::Apply(body))
        .await;
    written.map(drop).context("an agent can't write its status")
}

/// Keeps the policy in sight.
async fn look(policies: Api<KubeProxyReplacement>, seen: Arc<Mutex<Option<KubeProxyReplacement>>>) {
    let objects = watcher(policies, watcher::Config::default())
        .default_backoff()
        .applied_objects();
    objects
        .for_each(|object| {
            if let Ok(object) = object {
                *seen.lock().expect("the policy") = Some(object);
            }
            future::ready(())
        })
        .await;
}

/// All objects of a kind.
pub(crate) async fn list<K>(client: Client) -> anyhow::Result<Vec<K>>
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + fmt::Debug,
{
    Ok(Api::<K>::all(client).list(&ListParams::default()).await?.items)
}
