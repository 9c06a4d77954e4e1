//! A pool in memory with agents that take their time, fail, restart, and report late: whatever happens in whatever order,
//! no more nodes than allowed are out of service because of a change, and each rollout ends or says why it does not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kpr_crds::conditions::{self, ConditionStatus, NodeCondition, PolicyCondition, PolicyReason};
use kpr_crds::{KubeProxyReplacement, KubeProxyReplacementStatus, NodeDatapath, NodeDatapathSpec, OnFailure, Phase};
use proptest::prelude::*;

use super::super::{health, same_configuration};
use crate::decide::fixtures::{self, at, datapath, node, policy};
use crate::decide::{Decision, World, decide};
use crate::drain::Limits;
use crate::kube_proxy;
use crate::node::NodeView;

const NODES: usize = 6;
const DEADLINE: i64 = 600;

/// Something that happens.
#[derive(Clone, Copy, Debug)]
enum Happening {
    Joins {
        node: usize,
    },
    Leaves {
        node: usize,
    },
    GoesDown {
        node: usize,
    },
    ComesUp {
        node: usize,
    },
    /// A new configuration, with which some node may not get ready: it says so, or is silent.
    Changed {
        bad: Option<(usize, bool)>,
    },
    /// A new generation with the configuration of before.
    Renumbered,
    /// The configuration of a while ago.
    SetBack,
    AgentActs {
        node: usize,
    },
    AgentReports {
        node: usize,
    },
    AgentRestarts {
        node: usize,
    },
    Reconciled,
    /// The operator ends after so many writes; the next one knows only what is in the API.
    Crashes {
        after: usize,
    },
    TimePasses {
        seconds: i64,
    },
}

fn happening() -> impl Strategy<Value = Happening> {
    use Happening::{
        AgentActs, AgentReports, AgentRestarts, Changed, ComesUp, Crashes, GoesDown, Joins, Leaves, Reconciled,
        Renumbered, SetBack, TimePasses,
    };
    let node = 0..NODES;
    prop_oneof![
        3 => node.clone().prop_map(|node| Joins { node }),
        1 => node.clone().prop_map(|node| Leaves { node }),
        1 => node.clone().prop_map(|node| GoesDown { node }),
        2 => node.clone().prop_map(|node| ComesUp { node }),
        2 => prop::option::of((node.clone(), any::<bool>())).prop_map(|bad| Changed { bad }),
        1 => Just(Renumbered),
        1 => Just(SetBack),
        8 => node.clone().prop_map(|node| AgentActs { node }),
        8 => node.clone().prop_map(|node| AgentReports { node }),
        1 => node.prop_map(|node| AgentRestarts { node }),
        8 => Just(Reconciled),
        1 => (0usize..4).prop_map(|after| Crashes { after }),
        1 => (1i64..400).prop_map(|seconds| TimePasses { seconds }),
    ]
}

/// What is true on a node, whatever the API says.
#[derive(Default)]
struct Agent {
    applied: Option<(i64, NodeDatapathSpec)>,
    ready: bool,
}

struct Cluster {
    policy: KubeProxyReplacement,
    nodes: BTreeMap<String, NodeView>,
    datapaths: BTreeMap<String, NodeDatapath>,
    agents: BTreeMap<String, Agent>,
    /// Nodes that do not get ready with a configuration (told by its timeout), and whether they say so.
    bad: BTreeMap<(String, u32), bool>,
    /// Nodes that served and were changed, and do not serve with the change yet.
    victims: BTreeSet<String>,
    /// Nodes that did not serve, as far as the API says, when they were changed, and do not yet.
    out_before: BTreeSet<String>,
    limit: usize,
    now: i64,
}

fn name(node: usize) -> String {
    format!("node-{node}")
}

impl Cluster {
    fn new(limit: usize, on_failure: OnFailure) -> Self {
        let max_unavailable = i32::try_from(limit).expect("small");
        Self {
            policy: policy("default")
                .max_sessions(1)
                .max_unavailable(max_unavailable)
                .on_failure(on_failure)
                .build(),
            nodes: BTreeMap::new(),
            datapaths: BTreeMap::new(),
            agents: BTreeMap::new(),
            bad: BTreeMap::new(),
            victims: BTreeSet::new(),
            out_before: BTreeSet::new(),
            limit,
            now: 0,
        }
    }

    fn happens(&mut self, happening: Happening) {
        match happening {
            Happening::Joins { node: index } => {
                self.nodes.entry(name(index)).or_insert_with(|| node().build());
            }
            Happening::Leaves { node } => {
                self.nodes.remove(&name(node));
                self.agents.remove(&name(node));
                self.victims.remove(&name(node));
                self.out_before.remove(&name(node));
            }
            Happening::GoesDown { node } => self.set_up(node, false),
            Happening::ComesUp { node } => self.set_up(node, true),
            Happening::Changed { bad } => {
                let newest = self.generation() + 1;
                let configuration = u32::try_from(newest).expect("small");
                if let Some((node, says_so)) = bad {
                    self.bad.insert((name(node), configuration), says_so);
                }
                self.configure(configuration);
            }
            Happening::Renumbered => self.configure(self.policy.spec.session_affinity.default_timeout_seconds),
            Happening::SetBack => {
                let before = self.policy.spec.session_affinity.default_timeout_seconds;
                self.configure(before.saturating_sub(1).max(1));
            }
            Happening::AgentActs { node } => self.agent_acts(&name(node)),
            Happening::AgentReports { node } => self.agent_reports(&name(node)),
            Happening::AgentRestarts { node } => {
                if let Some(agent) = self.agents.get_mut(&name(node)) {
                    *agent = Agent::default();
                }
            }
            Happening::Reconciled => drop(self.reconcile(usize::MAX)),
            Happening::Crashes { after } => drop(self.reconcile(after)),
            Happening::TimePasses { seconds } => self.now += seconds,
        }
    }

    fn generation(&self) -> i64 {
        self.policy.metadata.generation.expect("set")
    }

    fn configure(&mut self, configuration: u32) {
        self.policy.metadata.generation = Some(self.generation() + 1);
        self.policy.spec.session_affinity.default_timeout_seconds = configuration;
    }

    fn set_up(&mut self, node: usize, up: bool) {
        if let Some(node) = self.nodes.get_mut(&name(node)) {
            node.up = up;
        }
    }

    fn is_up(&self, name: &str) -> bool {
        self.nodes.get(name).is_some_and(|node| node.up)
    }

    fn agent_acts(&mut self, name: &str) {
        let Some(object) = self.datapaths.get(name).filter(|_| self.is_up(name)) else {
            return;
        };
        let configuration = object.spec.session_affinity.default_timeout_seconds;
        let ready = !self.bad.contains_key(&(name.to_owned(), configuration));
        let agent = self.agents.entry(name.to_owned()).or_default();
        agent.applied = Some((object.metadata.generation.expect("set"), object.spec.clone()));
        agent.ready = ready;
        if ready {
            self.victims.remove(name);
        }
    }

    fn agent_reports(&mut self, name: &str) {
        let up = self.is_up(name);
        let (Some(object), Some(agent)) = (self.datapaths.get_mut(name).filter(|_| up), self.agents.get(name)) else {
            return;
        };
        let seen = object.metadata.generation.expect("set");
        let says_so = agent.applied.as_ref().is_some_and(|(_, spec)| {
            let configuration = spec.session_affinity.default_timeout_seconds;
            self.bad.get(&(name.to_owned(), configuration)) == Some(&true)
        });
        let blank = datapath(name, &policy("any").build());
        let reported = match (agent.ready, says_so) {
            (true, _) => blank.ready(0),
            (false, true) => blank.failing("AttachFailed", "eth7: no such device"),
            (false, false) => blank.failing("Starting", "devices are not attached yet"),
        };
        let mut status = reported.conditions_seen(seen).build().status.expect("set");
        status.observed_generation = agent.applied.as_ref().map(|(generation, _)| *generation);
        status.policy_generation = agent.applied.as_ref().map(|(_, spec)| spec.policy_generation);
        object.status = Some(status);
        if health::settled(object) {
            self.out_before.remove(name);
        }
    }

    fn decision(&self) -> Decision {
        let policies = [Arc::new(self.policy.clone())];
        let datapaths = fixtures::shared(&self.datapaths);
        let world = World {
            policies: &policies,
            nodes: &self.nodes,
            datapaths: &datapaths,
            kube_proxy: kube_proxy::Input::default(),
            limits: Limits::default(),
            now: at(self.now),
        };
        let decision = decide(&policies[0], &world);
        assert_eq!(
            decision,
            decide(&policies[0], &world),
            "the same is decided of the same"
        );
        decision
    }

    /// Carries out so many writes of a decision, the way the API server would. Did it change anything?
    fn reconcile(&mut self, mut writes: usize) -> bool {
        let decision = self.decision();
        let changed = !decision.apply.is_empty() || !decision.delete.is_empty() || decision.status.is_some();
        let mut may = || {
            let may = writes > 0;
            writes = writes.saturating_sub(1);
            may
        };
        for desired in decision.apply {
            if !may() {
                return changed;
            }
            let old = self.datapaths.get(&desired.node).cloned();
            let new = fixtures::applied(&desired, old.as_ref());
            if let Some(old) = old {
                self.check(&desired.node, &old, &new);
            }
            self.datapaths.insert(desired.node, new);
        }
        for deletion in decision.delete {
            if !may() {
                return changed;
            }
            assert!(
                !self.nodes.contains_key(&deletion.node),
                "only what has no node any more"
            );
            self.datapaths.remove(&deletion.node);
        }
        if let Some(new) = decision.status.filter(|_| may()) {
            self.policy.status = Some(new.status);
        }
        changed
    }

    fn check(&mut self, name: &str, old: &NodeDatapath, new: &NodeDatapath) {
        let failed = self.status().rollout.and_then(|rollout| rollout.failure);
        let failed = failed.filter(|failure| failure.generation == self.generation());
        if let Some(failure) = failed {
            assert!(
                new.spec.policy_generation != failure.generation || old.spec.policy_generation == failure.generation,
                "{name} is told the generation that failed"
            );
        }
        if !same_configuration(&old.spec, &new.spec) {
            if self.out_before.contains(name) {
                // It was not taken out by this change.
            } else if health::serving(old) {
                self.victims.insert(name.to_owned());
            } else if !self.victims.contains(name) {
                self.out_before.insert(name.to_owned());
            }
        }
        assert!(
            self.victims.len() <= self.limit,
            "out of service because of a change: {:?}",
            self.victims
        );
    }

    fn status(&self) -> KubeProxyReplacementStatus {
        self.policy.status.clone().unwrap_or_default()
    }

    /// Everybody does their work until nothing changes any more, even if one waits.
    fn settles(&mut self) {
        for _ in 0..100 {
            let mut changed = false;
            for _ in 0..3 {
                for node in 0..NODES {
                    self.agent_acts(&name(node));
                    self.agent_reports(&name(node));
                }
                changed |= self.reconcile(usize::MAX);
            }
            if !changed && self.decision().again_in.is_none() {
                return;
            }
            self.now += DEADLINE;
        }
        panic!("it never comes to rest: {:#?}", self.status());
    }

    fn progressing(&self) -> (ConditionStatus, String) {
        let status = self.status();
        let condition = conditions::find(&status.conditions, PolicyCondition::Progressing.as_str());
        condition.map_or((ConditionStatus::Unknown, String::new()), |condition| {
            (ConditionStatus::parse(&condition.status), condition.reason.clone())
        })
    }

    /// Does the node serve with the newest generation?
    fn is_done(&self, name: &str) -> bool {
        self.datapaths.get(name).is_some_and(|object| {
            object.spec.policy_generation == self.generation()
                && object.spec.phase == Phase::Active
                && health::settled(object)
        })
    }
}

fn happenings() -> impl Strategy<Value = Vec<Happening>> {
    prop::collection::vec(happening(), 0..100)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_no_more_nodes_are_out_than_may_be_and_it_ends(
        happenings in happenings(),
        limit in 1usize..4,
        rollback in any::<bool>(),
    ) {
        let on_failure = if rollback { OnFailure::Rollback } else { OnFailure::Halt };
        let mut cluster = Cluster::new(limit, on_failure);
        for happening in happenings {
            cluster.happens(happening);
        }
        cluster.settles();

        let (status, reason) = cluster.progressing();
        prop_assert_eq!(status, ConditionStatus::False, "{}", reason);
        let up = || cluster.nodes.iter().filter(|(_, node)| node.up);
        let failure = cluster.status().rollout.and_then(|rollout| rollout.failure);
        if reason == PolicyReason::RolledOut.as_str() {
            // A node that fails when the rollout is over is no part of it.
            let told = |name: &String| cluster.datapaths[name].spec.policy_generation == cluster.generation();
            prop_assert!(up().all(|(name, _)| told(name)));
        } else if reason != PolicyReason::RolloutStalled.as_str() {
            prop_assert_eq!(failure.expect("the reason is said").generation, cluster.generation());
        }
        if reason == PolicyReason::RolledBack.as_str() {
            let back = |name: &String| cluster.datapaths[name].spec.policy_generation != cluster.generation();
            let good = |name: &String| health::settled(&cluster.datapaths[name]);
            prop_assert!(up().all(|(name, _)| back(name) || good(name)));
        }
    }

    #[test]
    fn if_every_node_gets_ready_every_node_gets_the_newest_generation(
        happenings in happenings(),
        limit in 1usize..4,
    ) {
        let mut cluster = Cluster::new(limit, OnFailure::Rollback);
        for happening in happenings {
            match happening {
                Happening::Changed { .. } => cluster.happens(Happening::Changed { bad: None }),
                // Nobody misses a deadline.
                Happening::TimePasses { .. } => {}
                other => cluster.happens(other),
            }
        }
        (0..NODES).for_each(|node| cluster.happens(Happening::ComesUp { node }));
        cluster.settles();
        let (_, reason) = cluster.progressing();
        prop_assert_eq!(reason, PolicyReason::RolledOut.as_str());
        prop_assert!(cluster.nodes.keys().all(|name| cluster.is_done(name)));
        prop_assert_eq!(cluster.status().rollout.and_then(|rollout| rollout.failure), None);
    }
}

#[test]
fn the_node_says_why_it_is_not_ready() {
    let mut cluster = Cluster::new(1, OnFailure::Halt);
    cluster.happens(Happening::Joins { node: 0 });
    cluster.settles();
    cluster.happens(Happening::Changed { bad: Some((0, true)) });
    cluster.settles();
    let status = cluster.status();
    let message = |type_: PolicyCondition| {
        let condition = conditions::find(&status.conditions, type_.as_str());
        condition.expect("it is there").message.clone()
    };
    assert_eq!(
        message(PolicyCondition::Progressing),
        "halted with 1/1 nodes at generation 2, which failed on node-0: AttachFailed: eth7: no such device"
    );
    let ready = conditions::find(
        &cluster.datapaths["node-0"]
            .status
            .as_ref()
            .expect("a status")
            .conditions,
        NodeCondition::Ready.as_str(),
    );
    assert_eq!(ready.map(|condition| condition.status.as_str()), Some("False"));
}
