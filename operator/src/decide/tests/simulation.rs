//! A whole cluster in memory: whatever happens in whatever order, nothing is lost, and it comes to rest.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kpr_crds::{KubeProxyReplacement, NodeDatapath, Phase, names};
use kube::ResourceExt;
use proptest::prelude::*;

use super::super::fixtures::{self, at, datapath, node, policy};
use super::super::{Decision, Finalizer, World, decide};
use crate::drain::Limits;
use crate::node::NodeView;
use crate::render::draining_since;

const NODES: usize = 4;
const POLICIES: usize = 3;
const POOLS: [&str; 2] = ["x", "y"];

/// Something that happens in a cluster.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Joins { node: usize, pool: usize },
    Leaves { node: usize },
    GoesDown { node: usize },
    ComesUp { node: usize },
    Created { policy: usize, pool: Option<usize> },
    Changed { policy: usize },
    Deleted { policy: usize },
    AgentAnswers { node: usize },
    Reconciled { policy: usize },
    TimePasses { seconds: i64 },
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{
        AgentAnswers, Changed, ComesUp, Created, Deleted, GoesDown, Joins, Leaves, Reconciled, TimePasses,
    };
    let (node, policy) = (0..NODES, 0..POLICIES);
    prop_oneof![
        3 => (node.clone(), 0..POOLS.len()).prop_map(|(node, pool)| Joins { node, pool }),
        1 => node.clone().prop_map(|node| Leaves { node }),
        1 => node.clone().prop_map(|node| GoesDown { node }),
        1 => node.clone().prop_map(|node| ComesUp { node }),
        2 => (policy.clone(), prop::option::of(0..POOLS.len())).prop_map(|(policy, pool)| Created { policy, pool }),
        1 => policy.clone().prop_map(|policy| Changed { policy }),
        1 => policy.clone().prop_map(|policy| Deleted { policy }),
        4 => node.prop_map(|node| AgentAnswers { node }),
        6 => policy.prop_map(|policy| Reconciled { policy }),
        1 => (1i64..400).prop_map(|seconds| TimePasses { seconds }),
    ]
}

#[derive(Default)]
struct Cluster {
    policies: BTreeMap<String, KubeProxyReplacement>,
    nodes: BTreeMap<String, NodeView>,
    datapaths: BTreeMap<String, NodeDatapath>,
    now: i64,
    created: i64,
}

impl Cluster {
    fn happens(&mut self, happening: Happening) {
        let node_name = |node: usize| format!("node-{node}");
        let policy_name = |policy: usize| format!("policy-{policy}");
        match happening {
            Happening::Joins { node: index, pool } => {
                self.nodes
                    .insert(node_name(index), node().label("pool", POOLS[pool]).build());
            }
            Happening::Leaves { node } => drop(self.nodes.remove(&node_name(node))),
            Happening::GoesDown { node } => self.set_up(&node_name(node), false),
            Happening::ComesUp { node } => self.set_up(&node_name(node), true),
            Happening::Created { policy, pool } => self.create(&policy_name(policy), pool),
            Happening::Changed { policy } => {
                if let Some(policy) = self.policies.get_mut(&policy_name(policy)) {
                    policy.spec.session_affinity.default_timeout_seconds += 1;
                    policy.metadata.generation = policy.metadata.generation.map(|generation| generation + 1);
                }
            }
            Happening::Deleted { policy } => {
                if let Some(policy) = self.policies.get_mut(&policy_name(policy)) {
                    policy.metadata.deletion_timestamp.get_or_insert(Time(at(self.now)));
                }
                self.collect_garbage();
            }
            Happening::AgentAnswers { node } => self.agent_answers(&node_name(node)),
            Happening::Reconciled { policy } => drop(self.reconcile(&policy_name(policy))),
            Happening::TimePasses { seconds } => self.now += seconds,
        }
    }

    fn create(&mut self, name: &str, pool: Option<usize>) {
        if self.policies.contains_key(name) {
            return;
        }
        self.created += 1;
        let mut object = policy(name).without_finalizer().created(self.created);
        if let Some(pool) = pool {
            object = object.pool(POOLS[pool]);
        }
        let mut object = object.build();
        object.metadata.uid = Some(format!("uid-{}", self.created));
        self.policies.insert(name.to_owned(), object);
    }

    fn set_up(&mut self, node: &str, up: bool) {
        if let Some(node) = self.nodes.get_mut(node) {
            node.up = up;
        }
    }

    /// What an agent does: it carries out the spec, and says so.
    fn agent_answers(&mut self, name: &str) {
        let up = self.nodes.get(name).is_some_and(|node| node.up);
        let Some(object) = self.datapaths.get_mut(name).filter(|_| up) else {
            return;
        };
        let generation = object.metadata.generation.unwrap_or_default();
        let blank = datapath(name, &policy("any").build()).generation(generation);
        let answered = match object.spec.phase {
            Phase::Active => blank.ready(object.spec.policy_generation),
            Phase::Draining => blank.removed(generation),
        };
        object.status = answered.build().status;
    }

    fn decision(&self, policy: &str) -> Option<Decision> {
        let policies: Vec<_> = self.policies.values().cloned().map(Arc::new).collect();
        let datapaths = fixtures::shared(&self.datapaths);
        let world = World {
            policies: &policies,
            nodes: &self.nodes,
            datapaths: &datapaths,
            limits: Limits::default(),
            kube_proxy: crate::kube_proxy::Input::default(),
            now: at(self.now),
        };
        Some(decide(self.policies.get(policy)?, &world))
    }

    /// Carries a decision out, the way the API server would. Did it change anything?
    fn reconcile(&mut self, name: &str) -> bool {
        let Some(decision) = self.decision(name) else {
            return false;
        };
        let idle = Decision {
            again_in: decision.again_in,
            ..Decision::default()
        };
        let changed = decision != idle;
        let Decision {
            finalizer,
            apply,
            delete,
            status,
            ..
        } = decision;
        if finalizer == Finalizer::Take {
            let policy = self.policies.get_mut(name).expect("it exists");
            policy.metadata.finalizers = Some(vec![names::FINALIZER.to_owned()]);
        }
        for desired in apply {
            let new = fixtures::applied(&desired, self.datapaths.get(&desired.node));
            self.datapaths.insert(desired.node, new);
        }
        for deletion in delete {
            self.check_deletion(&deletion.node);
            self.datapaths.remove(&deletion.node);
        }
        if let Some(new) = status {
            self.policies.get_mut(name).expect("it exists").status = Some(new.status);
        }
        if finalizer == Finalizer::Release {
            self.policies.get_mut(name).expect("it exists").metadata.finalizers = None;
            self.collect_garbage();
        }
        changed
    }

    /// A datapath that may still be on its node is not forgotten.
    fn check_deletion(&self, name: &str) {
        let object = &self.datapaths[name];
        let Some(node) = self.nodes.get(name) else {
            return;
        };
        assert_eq!(
            object.spec.phase,
            Phase::Draining,
            "{name} was never asked to remove its datapath"
        );
        let removed = object.status.as_ref().is_some_and(|status| {
            status.observed_generation == object.metadata.generation
                && kpr_crds::conditions::is_true(&status.conditions, "Removed")
        });
        let waited = self.now - draining_since(object).expect("since when").as_second();
        let limit = if node.up {
            Limits::default().agent_silent
        } else {
            Limits::default().node_down
        };
        let limit = i64::try_from(limit.as_secs()).expect("small");
        assert!(
            removed || waited >= limit,
            "{name} was given up after {waited} s, up={}",
            node.up
        );
    }

    /// Deleted policies without finalizers go, and their datapaths with them.
    fn collect_garbage(&mut self) {
        self.policies
            .retain(|_, policy| policy.metadata.deletion_timestamp.is_none() || !policy.finalizers().is_empty());
        let uids: Vec<_> = self.policies.values().filter_map(ResourceExt::uid).collect();
        let orphan = |object: &NodeDatapath| object.owner_references().iter().all(|owner| !uids.contains(&owner.uid));
        for (name, object) in self.datapaths.iter().filter(|(_, object)| orphan(object)) {
            assert!(
                !self.nodes.contains_key(name),
                "the datapath of {name} was collected: {:?}",
                object.spec.phase
            );
        }
        self.datapaths.retain(|_, object| !orphan(object));
    }

    /// Everybody does their work until nothing changes any more.
    fn settles(&mut self) {
        for _ in 0..100 {
            self.now += 60;
            (0..NODES).for_each(|node| self.happens(Happening::AgentAnswers { node }));
            let names: Vec<_> = self.policies.keys().cloned().collect();
            let changed = names.iter().filter(|name| self.reconcile(name)).count();
            // A node that is waited for may yet miss its deadline.
            let waits = names.iter().filter_map(|name| self.decision(name)?.again_in).max();
            match waits {
                Some(wait) => self.now += i64::try_from(wait.as_secs()).expect("small"),
                None if changed == 0 => return,
                None => {}
            }
        }
        panic!("it never comes to rest");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_nothing_is_lost_and_it_comes_to_rest(
        happenings in prop::collection::vec(happening(), 0..60),
    ) {
        let mut cluster = Cluster::default();
        for happening in happenings {
            cluster.happens(happening);
        }
        cluster.settles();

        let live: Vec<_> = cluster.policies.values().cloned().collect();
        prop_assert!(live.iter().all(|policy| policy.metadata.deletion_timestamp.is_none()), "deletions end");
        let claims = crate::claims::share(&live, &cluster.nodes);
        for (name, node) in &cluster.nodes {
            let has = cluster.datapaths.get(name).map(|object| object.spec.policy.as_str());
            prop_assert_eq!(has, claims.owner(name), "{} has the datapath of its policy", name);
            if let Some(object) = cluster.datapaths.get(name) {
                let policy = &cluster.policies[&object.spec.policy];
                prop_assert_eq!(object.spec.phase, Phase::Active);
                let generation = policy.metadata.generation.expect("set");
                let rollout = policy.status.as_ref().and_then(|status| status.rollout.as_ref());
                let failed = rollout.and_then(|rollout| rollout.failure.as_ref());
                let stopped = failed.is_some_and(|failure| failure.generation == generation);
                prop_assert!(!node.up || stopped || object.spec.policy_generation == generation);
            }
        }
        prop_assert!(cluster.datapaths.keys().all(|name| cluster.nodes.contains_key(name)), "none without a node");
    }
}

/// So that the fixtures' own names are used by the simulation as by the other tests.
#[test]
fn the_simulated_agent_answers_as_the_fixtures_do() {
    let mut cluster = Cluster::default();
    cluster.happens(Happening::Joins { node: 0, pool: 0 });
    cluster.happens(Happening::Created { policy: 0, pool: None });
    cluster.happens(Happening::Reconciled { policy: 0 });
    cluster.happens(Happening::AgentAnswers { node: 0 });
    let expected = fixtures::datapath("node-0", &cluster.policies["policy-0"])
        .ready(1)
        .build();
    assert_eq!(cluster.datapaths["node-0"].status, expected.status);
}
