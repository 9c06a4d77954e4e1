//! A cluster for scenarios: an API server, Nodes, simulated agents, and operators whose every request is seen.

mod agent;
mod kube_proxy;
mod objects;
mod operator;
mod server;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kpr_apiserver::{Fault, RequestRecord};
use kpr_crds::names::OPERATOR_LEASE;
use kpr_crds::{KubeProxyReplacement, KubeProxyReplacementStatus, NodeDatapath, Phase, conditions};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use agent::Agent;
pub(crate) use objects::policy;
pub(crate) use operator::OperatorBuilder;
use server::Server;

/// Longest time that a scenario waits for anything.
const PATIENCE: Duration = Duration::from_secs(30);
/// Time without a request of an operator after which it is taken to be at rest.
const QUIET: Duration = Duration::from_millis(500);

/// An API server with Nodes.
pub(crate) struct Cluster {
    server: Server,
    /// The scenario's own.
    client: Client,
}

impl Cluster {
    /// An API server with the CRDs and these Nodes.
    pub(crate) async fn with_nodes(names: &[&str]) -> Self {
        let cluster = Self::without_crds();
        cluster.install_crds().await;
        for name in names {
            cluster.create_node(name).await;
        }
        cluster
    }

    /// An API server that knows nothing of kpr.
    pub(crate) fn without_crds() -> Self {
        let server = Server::start();
        let client = server.client();
        Self { server, client }
    }

    /// Installs the CRDs.
    pub(crate) async fn install_crds(&self) {
        for crd in kpr_crds::codegen::crds() {
            self.all().create(&PostParams::default(), &crd).await.expect("CRD");
        }
        self.until("the CRDs are served", async |c| {
            c.client.list_api_group_resources("kpr.dev/v1alpha1").await.is_ok()
        })
        .await;
    }

    /// An operator, to be started.
    pub(crate) fn operator(&self) -> OperatorBuilder {
        OperatorBuilder::new(self.server.operator_client())
    }

    /// The agent of this node.
    pub(crate) fn agent(&self, node: &str) -> Agent {
        Agent::new(self.all(), node)
    }

    fn all<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = ()>,
    {
        Api::all(self.client.clone())
    }

    async fn list<K>(&self) -> Vec<K>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.all::<K>().list(&ListParams::default()).await.expect("list").items
    }

    // What there is.

    pub(crate) async fn policy(&self, name: &str) -> KubeProxyReplacement {
        self.all().get(name).await.expect("policy")
    }

    pub(crate) async fn policy_names(&self) -> Vec<String> {
        self.list::<KubeProxyReplacement>()
            .await
            .iter()
            .map(ResourceExt::name_any)
            .collect()
    }

    /// The policy's status, or an empty one.
    pub(crate) async fn status(&self, policy: &str) -> KubeProxyReplacementStatus {
        self.policy(policy).await.status.unwrap_or_default()
    }

    pub(crate) async fn datapath(&self, node: &str) -> NodeDatapath {
        self.all().get(node).await.expect("datapath")
    }

    pub(crate) async fn datapath_names(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .list::<NodeDatapath>()
            .await
            .iter()
            .map(ResourceExt::name_any)
            .collect();
        names.sort();
        names
    }

    pub(crate) async fn is_draining(&self, node: &str) -> bool {
        self.datapath(node).await.spec.phase == Phase::Draining
    }

    /// Reasons of the Events about this policy, oldest first.
    pub(crate) async fn events_of(&self, policy: &str) -> Vec<String> {
        let mut events = self.list::<Event>().await;
        events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
        events
            .into_iter()
            .filter(|event| {
                event
                    .regarding
                    .as_ref()
                    .is_some_and(|object| object.name.as_deref() == Some(policy))
            })
            .filter_map(|event| event.reason)
            .collect()
    }

    pub(crate) async fn lease_holder(&self) -> Option<String> {
        self.leases()
            .get_opt(OPERATOR_LEASE)
            .await
            .expect("lease")?
            .spec?
            .holder_identity
    }

    // What users and the rest of the cluster do.

    pub(crate) async fn create_policy(&self, policy: objects::Policy) -> KubeProxyReplacement {
        self.all()
            .create(&PostParams::default(), &policy.build())
            .await
            .expect("policy")
    }

    pub(crate) async fn patch_policy(&self, name: &str, patch: Value) {
        self.patch::<KubeProxyReplacement>(name, patch).await;
    }

    pub(crate) async fn delete_policy(&self, name: &str) {
        self.all::<KubeProxyReplacement>()
            .delete(name, &DeleteParams::default())
            .await
            .expect("delete");
    }

    pub(crate) async fn create_node(&self, name: &str) {
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            ..ObjectMeta::default()
        };
        let node = Node {
            metadata,
            ..Node::default()
        };
        self.all().create(&PostParams::default(), &node).await.expect("node");
    }

    pub(crate) async fn delete_node(&self, name: &str) {
        self.all::<Node>()
            .delete(name, &DeleteParams::default())
            .await
            .expect("delete");
    }

    pub(crate) async fn patch_node(&self, name: &str, patch: Value) {
        self.patch::<Node>(name, patch).await;
    }

    pub(crate) async fn label_node(&self, name: &str, key: &str, value: &str) {
        self.patch_node(name, json!({ "metadata": { "labels": { key: value } } }))
            .await;
    }

    /// The cluster calls the Node not ready.
    pub(crate) async fn node_down(&self, name: &str) {
        let now = Timestamp::now().to_string();
        let condition = json!({
            "type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown", "message": "",
            "lastTransitionTime": now, "lastHeartbeatTime": now,
        });
        let patch = Patch::Merge(json!({ "status": { "conditions": [condition] } }));
        self.all::<Node>()
            .patch_status(name, &PatchParams::default(), &patch)
            .await
            .expect("node status");
    }

    async fn patch<K>(&self, name: &str, patch: Value)
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        self.all::<K>()
            .patch(name, &PatchParams::default(), &Patch::Merge(patch))
            .await
            .expect("patch");
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), operator::NAMESPACE)
    }

    /// Someone writes themselves into the Lease.
    pub(crate) async fn give_lease_to(&self, holder: &str) {
        let patch = Patch::Merge(json!({ "spec": { "holderIdentity": holder } }));
        self.leases()
            .patch(OPERATOR_LEASE, &PatchParams::default(), &patch)
            .await
            .expect("lease");
    }

    /// A Lease that its holder does not renew.
    pub(crate) async fn create_lease_of(&self, holder: &str) {
        let metadata = ObjectMeta {
            name: Some(OPERATOR_LEASE.to_owned()),
            ..ObjectMeta::default()
        };
        let spec = LeaseSpec {
            holder_identity: Some(holder.to_owned()),
            lease_duration_seconds: Some(1),
            renew_time: Some(MicroTime(Timestamp::now())),
            ..LeaseSpec::default()
        };
        self.leases()
            .create(
                &PostParams::default(),
                &Lease {
                    metadata,
                    spec: Some(spec),
                },
            )
            .await
            .expect("lease");
    }

    /// Waits until objects get another creation time: they have whole seconds.
    pub(crate) async fn next_second(&self) {
        let second = Timestamp::now().as_second();
        self.until("the next second", async |_| Timestamp::now().as_second() > second)
            .await;
    }

    // What happens between the operators and the API server.

    /// From now on operators can't reach the API server; watches that are open break.
    pub(crate) async fn goes_away(&mut self) {
        self.server.close().await;
    }

    /// They can reach it again.
    pub(crate) fn comes_back(&mut self) {
        self.server.open();
    }

    /// The watches that are open end, and can't be resumed where they were.
    pub(crate) fn expire_watches(&self) {
        self.server.expire_watches();
    }

    /// The next request like this is answered with this status, and not carried out.
    pub(crate) fn fail_next(&self, verb: &str, resource: &str, name: &str, code: u16, reason: &'static str) {
        let fault = Fault::fail(code, reason, "refused by the scenario");
        self.server
            .inject(fault.verb(verb).target(resource).name(name).times(1));
    }

    /// The number of requests of operators so far.
    pub(crate) fn mark(&self) -> usize {
        self.server.requests().len()
    }

    /// Requests of operators since [`Self::mark`], without those for the Lease.
    pub(crate) fn requests_since(&self, mark: usize) -> Vec<RequestRecord> {
        self.server
            .requests()
            .into_iter()
            .skip(mark)
            .filter(|request| request.resource != "leases")
            .collect()
    }

    /// Writes of operators since [`Self::mark`], without those to the Lease.
    pub(crate) fn writes_since(&self, mark: usize) -> Vec<RequestRecord> {
        self.requests_since(mark)
            .into_iter()
            .filter(RequestRecord::is_write)
            .collect()
    }

    /// All of them.
    pub(crate) fn writes(&self) -> Vec<RequestRecord> {
        self.writes_since(0)
    }

    // Waiting.

    /// Waits until this holds, and fails the test if it does not become true.
    pub(crate) async fn until(&self, what: &str, holds: impl AsyncFn(&Self) -> bool) {
        let waiting = async {
            while !holds(self).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let done = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(
            done.is_ok(),
            "not within {PATIENCE:?}: {what}\noperators: {:#?}",
            self.server.requests()
        );
    }

    /// Waits until the policy is `Available`.
    pub(crate) async fn until_available(&self, policy: &str) {
        let available = async |c: &Self| conditions::is_true(&c.status(policy).await.conditions, "Available");
        self.until("the policy is Available", available).await;
    }

    /// Waits until no operator has asked for anything but the Lease for a while.
    pub(crate) async fn until_quiet(&self) {
        let others = || self.requests_since(0).len();
        let quiet = async |_: &Self| {
            let before = others();
            tokio::time::sleep(QUIET).await;
            others() == before
        };
        self.until("the operator is at rest", quiet).await;
    }

    /// Watches that this holds all the time.
    pub(crate) async fn stays(&self, what: &str, time: Duration, holds: impl Fn(&Self) -> bool) {
        let start = tokio::time::Instant::now();
        while start.elapsed() < time {
            assert!(
                holds(self),
                "not any more: {what}\noperators: {:#?}",
                self.server.requests()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
