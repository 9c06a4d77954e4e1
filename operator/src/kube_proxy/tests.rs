//! A cluster in memory with a kube-proxy in it: whatever happens in whatever order, somebody serves every node, and kube-proxy
//! comes back as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::apps::v1::DaemonSet;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpr_crds::conditions::{self, ConditionStatus, NodeCondition, NodeReason, Observation};
use kpr_crds::{KubeProxyPolicy, KubeProxyReplacement, KubeProxyRules, NodeDatapath, NodeDatapathStatus, Phase};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::view::{DaemonSetView, PodView};
use super::{Input, State, parking};
use crate::decide::fixtures::{self, at, node, policy};
use crate::decide::{Decision, Finalizer, World, decide};
use crate::drain::Limits;
use crate::node::NodeView;
use crate::render::awaited_since;

const NODES: [&str; 3] = ["node-0", "node-1", "node-2"];
const PATIENCE: Duration = Duration::from_mins(2);

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// The agent of a node does what it is told, and reports.
    Agent(usize),
    /// The DaemonSet's controller and the kubelet take their next step on a node.
    Pod(usize),
    /// The user changes what is to become of kube-proxy.
    Asked(KubeProxyPolicy),
    /// The user deletes the policy.
    Deleted,
    Reconciled,
    TimePasses(i64),
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{Agent, Asked, Deleted, Pod, Reconciled, TimePasses};
    prop_oneof![
        6 => (0..NODES.len()).prop_map(Agent),
        6 => (0..NODES.len()).prop_map(Pod),
        1 => Just(Asked(KubeProxyPolicy::Observe)),
        2 => Just(Asked(KubeProxyPolicy::Disable)),
        1 => Just(Deleted),
        8 => Just(Reconciled),
        1 => (1_i64..100).prop_map(TimePasses),
    ]
}

struct Cluster {
    policy: Option<KubeProxyReplacement>,
    nodes: BTreeMap<String, NodeView>,
    datapaths: BTreeMap<String, NodeDatapath>,
    set: Value,
    pods: BTreeMap<String, PodView>,
    /// Nodes with rules of kube-proxy.
    rules: BTreeSet<String>,
    /// Nodes whose agent removes them, as far as it knows.
    removing: BTreeSet<String>,
    now: i64,
}

fn kube_proxy() -> Value {
    json!({
        "metadata": { "name": "kube-proxy", "namespace": "kube-system", "resourceVersion": "1" },
        "spec": { "selector": {}, "template": {
            "metadata": { "labels": { "k8s-app": "kube-proxy" } },
            "spec": { "containers": [], "nodeSelector": { "kubernetes.io/os": "linux" } },
        } },
    })
}

impl Cluster {
    /// kube-proxy serves, and a policy is new.
    fn new(asked: KubeProxyPolicy) -> Self {
        let mut policy = policy("default").build();
        policy.spec.kube_proxy.policy = asked;
        let linux = || node().label("kubernetes.io/os", "linux").build();
        let pod = |name: &str| PodView {
            node: Some(name.to_owned()),
            ready: true,
            is_static: false,
        };
        Self {
            policy: Some(policy),
            nodes: NODES.map(|name| (name.to_owned(), linux())).into(),
            datapaths: BTreeMap::new(),
            set: kube_proxy(),
            pods: NODES.map(|name| (name.to_owned(), pod(name))).into(),
            rules: NODES.map(str::to_owned).into(),
            removing: BTreeSet::new(),
            now: 0,
        }
    }

    fn view(&self) -> DaemonSetView {
        let set: DaemonSet = serde_json::from_value(self.set.clone()).expect("DaemonSet");
        DaemonSetView::of(&set).expect("one of kube-proxy")
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Agent(node) => self.agent(NODES[node]),
            Happening::Pod(node) => self.pod(NODES[node]),
            Happening::Asked(asked) => {
                if let Some(policy) = self
                    .policy
                    .as_mut()
                    .filter(|policy| policy.spec.kube_proxy.policy != asked)
                {
                    policy.spec.kube_proxy.policy = asked;
                    policy.metadata.generation = policy.metadata.generation.map(|generation| generation + 1);
                }
            }
            Happening::Deleted => {
                if let Some(policy) = &mut self.policy {
                    policy.metadata.deletion_timestamp.get_or_insert(Time(at(self.now)));
                }
            }
            Happening::Reconciled => {
                self.reconcile();
            }
            Happening::TimePasses(seconds) => self.now += seconds,
        }
    }

    fn pod(&mut self, name: &str) {
        let parked = parking::is_parked(&self.view());
        match self.pods.get_mut(name) {
            Some(_) if parked => {
                self.pods.remove(name);
            }
            Some(pod) => {
                pod.ready = true;
                self.rules.insert(name.to_owned());
            }
            None if !parked => {
                let pod = PodView {
                    node: Some(name.to_owned()),
                    ready: false,
                    is_static: false,
                };
                self.pods.insert(name.to_owned(), pod);
            }
            None => {}
        }
    }

    fn agent(&mut self, name: &str) {
        let Some(datapath) = self.datapaths.get_mut(name) else {
            return;
        };
        if datapath.spec.kube_proxy_rules == KubeProxyRules::Remove {
            assert!(
                !self.pods.contains_key(name),
                "{name} fights with a kube-proxy that runs"
            );
            self.rules.remove(name);
            self.removing.insert(name.to_owned());
        } else {
            self.removing.remove(name);
        }
        let kube_proxy = match (self.pods.contains_key(name), self.rules.contains(name)) {
            (true, true) => NodeReason::Running,
            (true, false) => NodeReason::RulesMissing,
            (false, true) => NodeReason::RulesLeft,
            (false, false) => NodeReason::NotFound,
        };
        let active = datapath.spec.phase == Phase::Active;
        let says = [
            (NodeCondition::Ready, active, NodeReason::Serving),
            (NodeCondition::ServicesSynced, active, NodeReason::Synced),
            (
                NodeCondition::KubeProxyAbsent,
                kube_proxy == NodeReason::NotFound,
                kube_proxy,
            ),
            (NodeCondition::Removed, !active, NodeReason::Removed),
        ];
        let observations = says
            .into_iter()
            .map(|(type_, holds, reason)| Observation {
                type_: type_.as_str(),
                status: ConditionStatus::from(holds),
                reason: reason.as_str(),
                message: String::new(),
            })
            .collect();
        datapath.status = Some(NodeDatapathStatus {
            observed_generation: datapath.metadata.generation,
            policy_generation: Some(datapath.spec.policy_generation),
            conditions: conditions::apply(&[], observations, datapath.metadata.generation, at(self.now)),
            ..NodeDatapathStatus::default()
        });
    }

    /// Lets the operator decide, and carries it out. Did it write anything about datapaths or kube-proxy?
    fn reconcile(&mut self) -> bool {
        let Some(policy) = self.policy.clone() else {
            return false;
        };
        let policies = [Arc::new(policy.clone())];
        let datapaths = fixtures::shared(&self.datapaths);
        let view = self.view();
        let state = State::new([&view], self.pods.values());
        let world = World {
            policies: &policies,
            nodes: &self.nodes,
            datapaths: &datapaths,
            limits: Limits::default(),
            kube_proxy: Input {
                state: Some(&state),
                patience: PATIENCE,
            },
            now: at(self.now),
        };
        let Decision {
            finalizer,
            apply,
            delete,
            daemon_sets,
            ..
        } = decide(&policy, &world);
        let changed = !apply.is_empty() || !delete.is_empty() || !daemon_sets.is_empty();
        for desired in apply {
            self.check(&desired.node, desired.spec.phase, desired.spec.kube_proxy_rules);
            let new = fixtures::applied(&desired, self.datapaths.get(&desired.node));
            self.datapaths.insert(desired.node, new);
        }
        for deletion in delete {
            self.datapaths.remove(&deletion.node);
            // An agent without a NodeDatapath removes nothing.
            self.removing.remove(&deletion.node);
        }
        for patch in daemon_sets {
            self.patch(&patch.body);
        }
        if finalizer == Finalizer::Release {
            self.policy = None;
        }
        changed
    }

    fn check(&self, name: &str, phase: Phase, rules: KubeProxyRules) {
        if rules == KubeProxyRules::Remove {
            assert!(
                !self.pods.contains_key(name),
                "{name} is to remove rules of a kube-proxy that runs"
            );
            assert!(
                parking::is_parked(&self.view()),
                "{name} is to remove rules of a kube-proxy that may come back"
            );
        }
        let Some(datapath) = self.datapaths.get(name).filter(|_| phase == Phase::Draining) else {
            return;
        };
        if datapath.spec.phase == Phase::Active && datapath.spec.kube_proxy.policy == KubeProxyPolicy::Disable {
            let serves = self.pods.get(name).is_some_and(|pod| pod.ready) && self.rules.contains(name);
            let since = awaited_since(datapath).map_or(self.now, jiff::Timestamp::as_second);
            let waited = Duration::from_secs(u64::try_from(self.now - since).expect("time goes on"));
            assert!(
                serves || waited >= PATIENCE,
                "{name} would serve nobody, after {waited:?}"
            );
        }
    }

    fn patch(&mut self, body: &Value) {
        let before = parking::is_parked(&self.view());
        json_patch::merge(&mut self.set, body);
        let metadata = self.set["metadata"].as_object_mut().expect("metadata");
        if metadata.get("annotations") == Some(&json!({})) {
            metadata.remove("annotations");
        }
        let after = parking::is_parked(&self.view());
        if after && !before {
            let serves = |name: &&str| {
                let status = self.datapaths.get(*name).and_then(|datapath| datapath.status.as_ref());
                status.is_some_and(|status| conditions::is_true(&status.conditions, "Ready"))
            };
            assert!(NODES.iter().all(serves), "parked before every node serves");
        }
        if before && !after {
            let mut told = self.datapaths.values().map(|datapath| datapath.spec.kube_proxy_rules);
            assert!(
                told.all(|rules| rules == KubeProxyRules::Keep),
                "let back while a node is to remove its rules"
            );
            assert_eq!(
                self.removing,
                BTreeSet::new(),
                "let back while nodes may remove its rules"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn somebody_serves_every_node_and_kube_proxy_comes_back_as_it_was(
        asked in prop::sample::select(vec![KubeProxyPolicy::Observe, KubeProxyPolicy::Disable]),
        happenings in prop::collection::vec(happening(), 0..80),
    ) {
        let mut cluster = Cluster::new(asked);
        for happening in happenings {
            cluster.happens(happening);
        }
        cluster.happens(Happening::Deleted);
        for _ in 0..60 {
            (0..NODES.len()).for_each(|node| cluster.happens(Happening::Pod(node)));
            (0..NODES.len()).for_each(|node| cluster.happens(Happening::Agent(node)));
            cluster.happens(Happening::Reconciled);
            cluster.happens(Happening::TimePasses(1));
        }
        prop_assert!(cluster.policy.is_none(), "the deletion ends");
        prop_assert!(cluster.datapaths.is_empty());
        cluster.set["metadata"]["resourceVersion"] = json!("1");
        prop_assert_eq!(cluster.set, kube_proxy(), "as it was");
        prop_assert!(cluster.pods.values().all(|pod| pod.ready) && cluster.pods.len() == NODES.len());
    }

    #[test]
    fn a_cluster_at_rest_has_kube_proxy_parked_and_nothing_of_it_left(
        happenings in prop::collection::vec(happening(), 0..40),
    ) {
        let mut cluster = Cluster::new(KubeProxyPolicy::Disable);
        for happening in happenings.into_iter().filter(|happening| !matches!(happening, Happening::Deleted)) {
            cluster.happens(happening);
        }
        cluster.happens(Happening::Asked(KubeProxyPolicy::Disable));
        let mut changed = true;
        for _ in 0..60 {
            (0..NODES.len()).for_each(|node| cluster.happens(Happening::Pod(node)));
            (0..NODES.len()).for_each(|node| cluster.happens(Happening::Agent(node)));
            changed = cluster.reconcile();
        }
        prop_assert!(!changed, "it comes to rest");
        prop_assert!(parking::is_parked(&cluster.view()));
        prop_assert!(cluster.pods.is_empty() && cluster.rules.is_empty());
        let mut told = cluster.datapaths.values().map(|datapath| datapath.spec.kube_proxy_rules);
        prop_assert!(told.all(|rules| rules == KubeProxyRules::Remove));
    }
}
