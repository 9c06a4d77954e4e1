//! What the user is told: counts and conditions of a `KubeProxyReplacement`, from the status of its nodes.

mod observe;
pub(crate) mod phrase;

use jiff::Timestamp;
use kpr_crds::conditions;
use kpr_crds::{KubeProxyReplacement, KubeProxyReplacementStatus, NodeDatapath, Phase, RolloutStatus};

use crate::kube_proxy::Outlook;
use crate::node::NodeView;
use crate::rollout::{Plan, health};

/// A node of the pool, with its datapath if it has one.
#[derive(Clone, Copy, Debug)]
pub struct PoolNode<'a> {
    /// Name of the node.
    pub name: &'a str,
    /// Is the Node itself up?
    pub up: bool,
    /// Its datapath, as far as it is this policy's.
    pub datapath: Option<&'a NodeDatapath>,
}

impl<'a> PoolNode<'a> {
    /// The node, with its datapath if that belongs to this policy.
    pub fn new(name: &'a str, node: &NodeView, datapath: Option<&'a NodeDatapath>, policy: &str) -> Self {
        Self {
            name,
            up: node.up,
            datapath: datapath.filter(|datapath| datapath.spec.policy == policy),
        }
    }

    /// Does its datapath serve?
    pub fn ready(&self) -> bool {
        self.up
            && self
                .datapath
                .is_some_and(|datapath| datapath.spec.phase == Phase::Active && health::serving(datapath))
    }

    /// Has its agent carried out this generation of the policy?
    pub fn updated(&self, generation: i64) -> bool {
        self.datapath
            .is_some_and(|datapath| datapath.spec.policy_generation == generation && health::carried_out(datapath))
    }
}

/// Everything that the status speaks of.
#[derive(Clone, Debug)]
pub struct Pool<'a> {
    /// Name of the policy.
    pub policy: &'a str,
    /// `metadata.generation` of the policy.
    pub generation: i64,
    /// Nodes of the policy; while it is deleted, those whose datapath is still there.
    pub nodes: Vec<PoolNode<'a>>,
    /// Nodes that the policy selects, but that belong to another one (second).
    pub lost: Vec<(&'a str, &'a str)>,
    /// The next step of the rollout; none while the policy is deleted.
    pub plan: Option<Plan<'a>>,
    /// What becomes of kube-proxy.
    pub kube_proxy: Outlook<'a>,
}

/// The status of the policy now. Equal to the one that it has, if nothing changed.
pub fn aggregate(policy: &KubeProxyReplacement, pool: &Pool<'_>, now: Timestamp) -> KubeProxyReplacementStatus {
    let old = policy.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let rollout = match &pool.plan {
        Some(plan) => Some(plan.record.clone()).filter(|record| *record != RolloutStatus::default()),
        None => policy.status.as_ref().and_then(|status| status.rollout.clone()),
    };
    KubeProxyReplacementStatus {
        observed_generation: Some(pool.generation),
        desired_nodes: count(&pool.nodes, |_| true),
        updated_nodes: count(&pool.nodes, |node| node.updated(pool.generation)),
        ready_nodes: count(&pool.nodes, PoolNode::ready),
        rollout,
        conditions: conditions::apply(old, observe::all(pool), Some(pool.generation), now),
    }
}

fn count<'a>(nodes: &[PoolNode<'a>], holds: impl Fn(&PoolNode<'a>) -> bool) -> u32 {
    u32::try_from(nodes.iter().filter(|node| holds(node)).count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use kpr_crds::RolloutFailure;
    use kpr_crds::conditions::{ConditionStatus, PolicyCondition};

    use super::*;
    use crate::decide::fixtures::{Datapath, at, datapath, policy};
    use crate::render;
    use crate::rollout::{self, Context, Member, Progress, Waiting};

    fn pool<'a>(nodes: &[(&'a str, bool, Option<&'a NodeDatapath>)]) -> Pool<'a> {
        pool_at(1, nodes)
    }

    fn pool_at<'a>(generation: i64, nodes: &[(&'a str, bool, Option<&'a NodeDatapath>)]) -> Pool<'a> {
        let policy = policy("default").generation(generation).build();
        let members: Vec<_> = nodes
            .iter()
            .map(|&(name, up, datapath)| Member { name, up, datapath })
            .collect();
        let context = Context {
            newest: &render::active(&policy),
            strategy: &policy.spec.update_strategy,
            before: None,
            now: at(0),
        };
        Pool {
            policy: "default",
            generation,
            nodes: nodes
                .iter()
                .map(|&(name, up, datapath)| PoolNode { name, up, datapath })
                .collect(),
            lost: Vec::new(),
            plan: Some(rollout::plan(&members, &context)),
            kube_proxy: Outlook::Observed,
        }
    }

    fn built(name: &str, with: impl Fn(Datapath) -> Datapath) -> NodeDatapath {
        with(datapath(name, &policy("default").build())).build()
    }

    fn said(pool: &Pool<'_>, condition: PolicyCondition) -> (ConditionStatus, String, String) {
        let status = aggregate(&policy("default").build(), pool, at(0));
        let found = conditions::find(&status.conditions, condition.as_str()).expect("every condition is always there");
        (
            ConditionStatus::parse(&found.status),
            found.reason.clone(),
            found.message.clone(),
        )
    }

    #[test]
    fn a_pool_whose_nodes_all_serve_is_available_and_settled() {
        let (a, b) = (built("a", |d| d.ready(1)), built("b", |d| d.ready(1)));
        let pool = pool(&[("a", true, Some(&a)), ("b", true, Some(&b))]);
        let status = aggregate(&policy("default").build(), &pool, at(0));
        assert_eq!(
            (status.desired_nodes, status.updated_nodes, status.ready_nodes),
            (2, 2, 2)
        );
        assert_eq!(status.observed_generation, Some(1));
        let summary: Vec<_> = status
            .conditions
            .iter()
            .map(|c| {
                (
                    c.type_.as_str(),
                    c.status.as_str(),
                    c.reason.as_str(),
                    c.observed_generation,
                )
            })
            .collect();
        assert_eq!(
            summary,
            [
                ("Available", "True", "AllNodesReady", Some(1)),
                ("Progressing", "False", "RolledOut", Some(1)),
                ("Degraded", "False", "AsExpected", Some(1)),
                ("Conflicted", "False", "NoConflict", Some(1)),
                ("KubeProxyAbsent", "Unknown", "NotReported", Some(1)),
            ]
        );
    }

    #[test]
    fn a_node_that_does_not_serve_makes_the_pool_unavailable_and_is_named() {
        let a = built("a", |d| d.ready(1));
        let pool = pool(&[("a", true, Some(&a)), ("b", true, None)]);
        let (status, reason, message) = said(&pool, PolicyCondition::Available);
        assert_eq!((status, reason.as_str()), (ConditionStatus::False, "NodesNotReady"));
        assert_eq!(message, "1 of 2 nodes serve; not ready: b");
        let (status, _, message) = said(&pool, PolicyCondition::Progressing);
        assert_eq!(status, ConditionStatus::True);
        assert_eq!(
            message,
            "1/2 nodes at generation 1, waiting for b: its agent has not reported yet"
        );
    }

    #[test]
    fn a_node_that_the_cluster_calls_not_ready_is_not_held_against_the_pool() {
        let (a, b) = (built("a", |d| d.ready(1)), built("b", |d| d.ready(1)));
        let pool = pool(&[("a", true, Some(&a)), ("b", false, Some(&b))]);
        let status = aggregate(&policy("default").build(), &pool, at(0));
        assert_eq!((status.desired_nodes, status.ready_nodes), (2, 1));
        let (status, _, message) = said(&pool, PolicyCondition::Available);
        assert_eq!(status, ConditionStatus::True);
        assert_eq!(
            message,
            "1 of 2 nodes serve; not counted, as the Node itself is not ready: b"
        );
    }

    #[test]
    fn a_pool_without_nodes_is_not_available() {
        let (status, reason, _) = said(&pool(&[]), PolicyCondition::Available);
        assert_eq!((status, reason.as_str()), (ConditionStatus::False, "NoNodes"));
    }

    #[test]
    fn a_node_with_the_old_generation_serves_but_is_waited_for() {
        let a = built("a", |d| d.ready(1));
        let pool = pool_at(2, &[("a", true, Some(&a))]);
        let status = aggregate(&policy("default").build(), &pool, at(0));
        assert_eq!((status.ready_nodes, status.updated_nodes), (1, 0));
        let (status, reason, _) = said(&pool, PolicyCondition::Progressing);
        assert_eq!((status, reason.as_str()), (ConditionStatus::True, "RollingOut"));
    }

    #[test]
    fn a_failing_node_degrades_the_pool_and_its_words_are_passed_on() {
        let a = built("a", |d| d.failing("AttachFailed", "eth7: no such device"));
        let (status, reason, message) = said(&pool(&[("a", true, Some(&a))]), PolicyCondition::Degraded);
        assert_eq!((status, reason.as_str()), (ConditionStatus::True, "NodesFailing"));
        assert_eq!(message, "a: AttachFailed: eth7: no such device");
    }

    #[test]
    fn a_starting_node_is_no_failure() {
        let a = built("a", |d| d.failing("Starting", "reading Services"));
        let (status, ..) = said(&pool(&[("a", true, Some(&a))]), PolicyCondition::Degraded);
        assert_eq!(status, ConditionStatus::False);
    }

    #[test]
    fn where_a_rollout_stands_is_one_line() {
        use rollout::Phase;
        let (a, b) = (built("a", |d| d.ready(1)), built("b", |d| d.ready(1)));
        let failure = Some(RolloutFailure {
            generation: 1,
            node: "b".to_owned(),
            reason: "AttachFailed".to_owned(),
            message: "eth7: no such device".to_owned(),
            rolled_back: false,
        });
        let waiting = Some(Waiting {
            node: "a",
            why: "its agent is applying it".to_owned(),
        });
        let table = [
            (Phase::RolledOut, false, "RolledOut", "2/2 nodes at generation 1"),
            (
                Phase::RollingOut,
                true,
                "RollingOut",
                "2/2 nodes at generation 1, waiting for a: its agent is applying it; then c",
            ),
            (
                Phase::Stalled,
                false,
                "RolloutStalled",
                "2/2 nodes at generation 1, held up by a: its agent is applying it; then c",
            ),
            (
                Phase::Halted,
                false,
                "RolloutHalted",
                "halted with 2/2 nodes at generation 1, which failed on b: AttachFailed: eth7: no such device",
            ),
            (
                Phase::RollingBack,
                true,
                "RollingBack",
                "going back from generation 1, which failed on b: AttachFailed: eth7: no such device; \
                 waiting for a: its agent is applying it; then c",
            ),
            (
                Phase::RollbackStalled,
                false,
                "RollbackStalled",
                "going back from generation 1, which failed on b: AttachFailed: eth7: no such device; \
                 held up by a: its agent is applying it; then c",
            ),
            (
                Phase::RolledBack,
                false,
                "RolledBack",
                "went back from generation 1, which failed on b: AttachFailed: eth7: no such device",
            ),
        ];
        for (phase, holds, reason, message) in table {
            let mut pool = pool(&[("a", true, Some(&a)), ("b", true, Some(&b))]);
            let stopped = !matches!(phase, Phase::RolledOut | Phase::RollingOut | Phase::Stalled);
            let waits = !matches!(phase, Phase::RolledOut | Phase::Halted | Phase::RolledBack);
            pool.plan.as_mut().expect("a plan").progress = Progress {
                phase,
                failure: failure.clone().filter(|_| stopped),
                waiting: waiting.clone().filter(|_| waits),
                then: if waits { vec!["c"] } else { vec![] },
            };
            let said = said(&pool, PolicyCondition::Progressing);
            assert_eq!(
                said,
                (ConditionStatus::from(holds), reason.to_owned(), message.to_owned())
            );
        }
    }

    #[test]
    fn a_generation_that_failed_degrades_the_pool_even_if_every_node_serves() {
        let a = built("a", |d| d.ready(1));
        let mut pool = pool(&[("a", true, Some(&a))]);
        pool.plan.as_mut().expect("a plan").record.failure = Some(RolloutFailure {
            generation: 1,
            node: "a".to_owned(),
            reason: "ProgressDeadlineExceeded".to_owned(),
            message: "not ready within 600 s: its agent is applying it".to_owned(),
            rolled_back: true,
        });
        let (status, reason, message) = said(&pool, PolicyCondition::Degraded);
        assert_eq!((status, reason.as_str()), (ConditionStatus::True, "RolloutFailed"));
        assert_eq!(
            message,
            "generation 1 failed on a: ProgressDeadlineExceeded: not ready within 600 s: its agent is applying it"
        );
    }

    #[test]
    fn nodes_that_use_snat_for_dsr_are_named_once_the_generation_is_everywhere() {
        let told = "endpoints get SNAT on nodes that do not take encapsulated packets: edge-1";
        let (a, b) = (built("a", |d| d.ready(1).without_dsr(told)), built("b", |d| d.ready(1)));
        let whole = pool(&[("a", true, Some(&a)), ("b", true, Some(&b))]);
        let (status, reason, message) = said(&whole, PolicyCondition::Degraded);
        assert_eq!((status, reason.as_str()), (ConditionStatus::True, "NodesWithoutDSR"));
        assert_eq!(message, format!("a: {told}"));

        // One that was not told yet is expected not to take them.
        let part = pool(&[("a", true, Some(&a)), ("c", true, None)]);
        let (status, reason, _) = said(&part, PolicyCondition::Degraded);
        assert_eq!((status, reason.as_str()), (ConditionStatus::False, "AsExpected"));
    }

    #[test]
    fn fields_that_agents_do_not_know_are_named() {
        let old = |name| {
            built(name, |d| {
                d.ready(1).unknown_fields("0.1.0", &["spec.loadBalancer.mode"])
            })
        };
        let (a, b, c) = (old("a"), old("b"), built("c", |d| d.ready(1)));
        let pool = pool(&[("a", true, Some(&a)), ("b", true, Some(&b)), ("c", true, Some(&c))]);
        let (status, reason, message) = said(&pool, PolicyCondition::Degraded);
        assert_eq!((status, reason.as_str()), (ConditionStatus::True, "UnknownFields"));
        assert_eq!(
            message,
            "not carried out, as agents are too old for it: spec.loadBalancer.mode on a, b"
        );
        let (available, ..) = said(&pool, PolicyCondition::Available);
        assert_eq!(available, ConditionStatus::True, "they serve all the same");
    }

    #[test]
    fn lost_nodes_are_a_conflict_that_names_the_winner() {
        let mut pool = pool(&[]);
        pool.lost = vec![("a", "edge"), ("b", "edge"), ("c", "core")];
        let (status, reason, message) = said(&pool, PolicyCondition::Conflicted);
        assert_eq!((status, reason.as_str()), (ConditionStatus::True, "NodesClaimed"));
        assert_eq!(
            message,
            "3 nodes that \"default\" selects belong to an older KubeProxyReplacement: c to \"core\"; a, b to \"edge\""
        );
    }

    #[test]
    fn kube_proxy_is_absent_when_every_node_says_so() {
        let absent = built("a", |d| d.ready(1).kube_proxy_absent(true));
        let present = built("b", |d| d.ready(1).kube_proxy_absent(false));
        let silent = built("c", |d| d.ready(1));
        let say = |nodes: &[(&'static str, &NodeDatapath)]| {
            let nodes: Vec<_> = nodes
                .iter()
                .map(|&(name, datapath)| (name, true, Some(datapath)))
                .collect();
            let (status, reason, _) = said(&pool(&nodes), PolicyCondition::KubeProxyAbsent);
            (status, reason)
        };
        assert_eq!(say(&[("a", &absent)]), (ConditionStatus::True, "NotFound".to_owned()));
        assert_eq!(
            say(&[("a", &absent), ("c", &silent)]),
            (ConditionStatus::Unknown, "NotReported".to_owned())
        );
        assert_eq!(
            say(&[("a", &absent), ("b", &present)]),
            (ConditionStatus::False, "Found".to_owned())
        );
    }

    #[test]
    fn messages_name_ten_nodes_and_count_the_rest() {
        let names: Vec<String> = (10..40).map(|number| format!("node-{number}")).collect();
        let nodes: Vec<_> = names.iter().map(|name| (name.as_str(), true, None)).collect();
        let (_, _, message) = said(&pool(&nodes), PolicyCondition::Available);
        assert_eq!(message.matches("node-").count(), 10);
        assert!(message.ends_with("node-19 and 20 more"), "{message}");
    }

    #[test]
    fn nothing_new_is_the_same_status() {
        let a = built("a", |d| d.ready(1));
        let pool = pool(&[("a", true, Some(&a))]);
        let mut policy = policy("default").build();
        let first = aggregate(&policy, &pool, at(10));
        policy.status = Some(first.clone());
        assert_eq!(aggregate(&policy, &pool, at(9999)), first);
    }

    #[test]
    fn while_it_is_deleted_it_says_which_nodes_are_waited_for() {
        let a = built("a", |d| d.draining_since(at(0)));
        let mut pool = pool(&[("a", true, Some(&a))]);
        pool.plan = None;
        let (status, reason, message) = said(&pool, PolicyCondition::Progressing);
        assert_eq!((status, reason.as_str()), (ConditionStatus::True, "Draining"));
        assert_eq!(message, "removing the datapath from 1 node: a");
        let (status, reason, _) = said(&pool, PolicyCondition::Available);
        assert_eq!((status, reason.as_str()), (ConditionStatus::False, "Draining"));
    }
}
