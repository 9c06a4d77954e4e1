//! A cluster for scenarios: an API server, Nodes, simulated agents, and operators whose every request is seen.

mod agent;
mod fleet;
mod kube_proxy;
mod objects;
mod operator;
mod server;

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kpr_apiserver::{Fault, RequestRecord};
use kpr_crds::names::OPERATOR_LEASE;
use kpr_crds::{KubeProxyReplacement, KubeProxyReplacementStatus, NodeDatapath, Phase, conditions};
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

pub(crate) use agent::Agent;
pub(crate) use fleet::Fleet;
pub(crate) use objects::policy;
pub(crate) use operator::{Operator, OperatorBuilder};
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

    /// The NodeDatapath CRD, as a newer version of kpr would have it, takes fields that this one does not know.
    pub(crate) async fn crds_know_more(&self) {
        let name = "nodedatapaths.kpr.dev";
        let mut crd: CustomResourceDefinition = self.all().get(name).await.expect("CRD");
        let schema = crd.spec.versions[0].schema.as_mut().expect("schema");
        let properties = schema
            .open_api_v3_schema
            .as_mut()
            .and_then(|schema| schema.properties.as_mut());
        for (name, part) in properties.expect("properties") {
            if name == "spec" || name == "status" {
                part.x_kubernetes_preserve_unknown_fields = Some(true);
            }
        }
        crd.metadata.managed_fields = None;
        self.all()
            .replace(name, &PostParams::default(), &crd)
            .await
            .expect("CRD");
    }

    /// The NodeDatapath as it is stored, with what this version does not know.
    pub(crate) async fn datapath_json(&self, node: &str) -> Value {
        let resource = kube::api::ApiResource::erase::<NodeDatapath>(&());
        let api = Api::<kube::api::DynamicObject>::all_with(self.client.clone(), &resource);
        serde_json::to_value(api.get(node).await.expect("datapath")).expect("JSON")
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

    /// A client that is counted as an operator's.
    pub(crate) fn operator_client(&self) -> Client {
        self.server.operator_client()
    }

    /// An operator, to be started.
    pub(crate) fn operator(&self) -> OperatorBuilder {
        OperatorBuilder::new(self.server.url())
    }

    /// The agent of this node.
    pub(crate) fn agent(&self, node: &str) -> Agent {
        Agent::new(self.all(), node)
    }

    /// Agents of all nodes, which do their work by themselves.
    pub(crate) fn fleet(&self) -> Fleet {
        Fleet::start(self.all())
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

    /// Status, reason and message of a condition of the policy.
    pub(crate) async fn condition(&self, policy: &str, type_: &str) -> (String, String, String) {
        let status = self.status(policy).await;
        conditions::find(&status.conditions, type_).map_or_else(Default::default, |condition| {
            (
                condition.status.clone(),
                condition.reason.clone(),
                condition.message.clone(),
            )
        })
    }

    /// Waits until the rollout of the policy has come to this end (or state), and returns what is said of it.
    pub(crate) async fn until_rollout_is(&self, policy: &str, reason: &str) -> String {
        let wanted = async |c: &Self| c.condition(policy, "Progressing").await.1 == reason;
        self.until(reason, wanted).await;
        self.condition(policy, "Progressing").await.2
    }

    /// Waits until every node serves with this generation, and returns what is said of it.
    pub(crate) async fn until_rolled_out(&self, policy: &str, generation: i64) -> String {
        let done = async |c: &Self| {
            let rollout = c.status(policy).await.rollout;
            rollout.and_then(|rollout| rollout.completed_generation) == Some(generation)
        };
        self.until("every node has it", done).await;
        self.until_rollout_is(policy, "RolledOut").await
    }

    /// The generation of the policy that each node is told.
    pub(crate) async fn told(&self) -> Vec<(String, i64)> {
        let datapaths = self.list::<NodeDatapath>().await;
        let mut told: Vec<_> = datapaths
            .iter()
            .map(|datapath| (datapath.name_any(), datapath.spec.policy_generation))
            .collect();
        told.sort();
        told
    }

    /// Gives the policy another configuration: one with this timeout.
    pub(crate) async fn configure(&self, policy: &str, timeout: u32) {
        let patch = json!({ "spec": { "sessionAffinity": { "defaultTimeoutSeconds": timeout } } });
        self.patch_policy(policy, patch).await;
    }

    /// A cluster with a policy, all of whose nodes serve with generation 1.
    pub(crate) async fn serving(policy: objects::Policy, nodes: &[&str]) -> (Self, Fleet, Operator) {
        let cluster = Self::with_nodes(nodes).await;
        let fleet = cluster.fleet();
        let operator = cluster.operator().start();
        cluster.create_policy(policy).await;
        cluster.until_available("default").await;
        cluster.until_rolled_out("default", 1).await;
        (cluster, fleet, operator)
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

    /// From now on requests for the Lease of this operator are refused.
    pub(crate) fn refuse_lease_to(&self, identity: &str) {
        for verb in ["get", "update"] {
            let fault = Fault::fail(500, "InternalError", "refused by the scenario");
            self.server
                .inject(fault.verb(verb).target("leases").user_agent(identity));
        }
    }

    /// Every request of operators, those for the Lease too.
    pub(crate) fn all_requests(&self) -> Vec<RequestRecord> {
        self.server.requests()
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

    /// Waits until both nodes of a cluster of two have a datapath.
    pub(crate) async fn until_two_datapaths(&self) {
        let both = async |c: &Self| c.datapath_names().await.len() == 2;
        self.until("both nodes have a datapath", both).await;
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
