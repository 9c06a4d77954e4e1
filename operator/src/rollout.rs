//! Which nodes of a pool may change now.
//!
//! At most `max_unavailable` nodes are not ready because of a change: the next ones change only when the last ones serve
//! with it. The decision depends on what is in the API alone, so that a restarted operator goes on where the last one was.

use kpr_crds::conditions::{self, NodeCondition};
use kpr_crds::{NodeDatapath, NodeDatapathSpec, Phase};

use crate::node::NodeView;
use crate::render::Desired;

/// Where a node stands with the change.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stage {
    /// It has no datapath of kpr yet: giving it one takes nothing away.
    Fresh,
    /// It has the configuration of an older generation.
    Outdated,
    /// It has been told the newest configuration, and does not serve with it yet.
    Changing,
    /// It serves with the newest configuration, or that differs from its own only in its generation.
    Done,
}

/// A node of the pool.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Member<'a> {
    /// Name of the node.
    pub name: &'a str,
    /// Where it stands with the change.
    pub stage: Stage,
    /// Does its datapath serve, with whatever configuration?
    pub serving: bool,
    /// Is the Node itself up?
    pub up: bool,
}

impl<'a> Member<'a> {
    /// The node as its objects show it.
    pub fn new(name: &'a str, node: &NodeView, datapath: Option<&NodeDatapath>, desired: &Desired) -> Self {
        let serving = datapath.is_some_and(serving);
        let stage = match datapath {
            None => Stage::Fresh,
            Some(datapath) if datapath.spec.phase == Phase::Draining => Stage::Fresh,
            Some(datapath) if !same_configuration(&datapath.spec, &desired.spec) => Stage::Outdated,
            Some(datapath) if serving && carried_out(datapath) => Stage::Done,
            Some(_) => Stage::Changing,
        };
        Self {
            name,
            stage,
            serving,
            up: node.up,
        }
    }
}

/// Names of the nodes that may be told the newest configuration now, in the order of `pool`.
pub fn admitted<'a>(pool: &[Member<'a>], max_unavailable: usize) -> Vec<&'a str> {
    // What is out already, or may be because of us; a Node that is down is not our doing, and would hold up the rest.
    let out = pool
        .iter()
        .filter(|member| member.up)
        .filter(|member| match member.stage {
            Stage::Changing => true,
            Stage::Outdated => !member.serving,
            Stage::Fresh | Stage::Done => false,
        })
        .count();
    let mut budget = max_unavailable.saturating_sub(out);
    pool.iter()
        .filter(|member| match member.stage {
            Stage::Fresh | Stage::Changing | Stage::Done => true,
            // It takes nothing away from a node that serves nothing.
            Stage::Outdated if !member.serving || !member.up => true,
            Stage::Outdated if budget > 0 => {
                budget -= 1;
                true
            }
            Stage::Outdated => false,
        })
        .map(|member| member.name)
        .collect()
}

/// Does the node serve, with whatever configuration?
pub fn serving(datapath: &NodeDatapath) -> bool {
    datapath
        .status
        .as_ref()
        .is_some_and(|status| conditions::is_true(&status.conditions, NodeCondition::Ready.as_str()))
}

/// Has the agent carried out the spec as it is now?
pub fn carried_out(datapath: &NodeDatapath) -> bool {
    datapath.status.as_ref().is_some_and(|status| {
        status.policy_generation == Some(datapath.spec.policy_generation)
            && status
                .observed_generation
                .is_none_or(|seen| seen >= datapath.metadata.generation.unwrap_or_default())
    })
}

/// The same but for the generation, and for what becomes of kube-proxy's rules, which is no part of it: a node goes from one to
/// the other without doing anything about its datapath.
fn same_configuration(have: &NodeDatapathSpec, want: &NodeDatapathSpec) -> bool {
    let want = NodeDatapathSpec {
        policy_generation: have.policy_generation,
        kube_proxy_rules: have.kube_proxy_rules,
        ..want.clone()
    };
    *have == want
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::fixtures::{datapath, node, policy};
    use crate::render;

    fn member(name: &'static str, stage: Stage, serving: bool) -> Member<'static> {
        Member {
            name,
            stage,
            serving,
            up: true,
        }
    }

    #[test]
    fn the_stage_follows_from_the_objects() {
        let old = policy("default").generation(1).build();
        let new = policy("default").generation(2).max_sessions(60).build();
        let desired = render::active(&new, "n");
        let up = node().build();
        let stage = |datapath: Option<&NodeDatapath>| Member::new("n", &up, datapath, &desired).stage;

        assert_eq!(stage(None), Stage::Fresh);
        assert_eq!(stage(Some(&datapath("n", &old).ready(1).build())), Stage::Outdated);
        assert_eq!(stage(Some(&datapath("n", &new).build())), Stage::Changing);
        assert_eq!(
            stage(Some(&datapath("n", &new).ready(1).build())),
            Stage::Changing,
            "ready, but with the old one"
        );
        assert_eq!(stage(Some(&datapath("n", &new).ready(2).build())), Stage::Done);
    }

    #[test]
    fn a_generation_without_a_new_configuration_is_no_change() {
        let old = policy("default").generation(1).build();
        let new = policy("default").generation(2).build();
        let member = Member::new(
            "n",
            &node().build(),
            Some(&datapath("n", &old).ready(1).build()),
            &render::active(&new, "n"),
        );
        assert_eq!(member.stage, Stage::Done);
    }

    #[test]
    fn new_nodes_do_not_wait() {
        let pool = [member("a", Stage::Fresh, false), member("b", Stage::Fresh, false)];
        assert_eq!(admitted(&pool, 1), ["a", "b"]);
    }

    #[test]
    fn the_next_node_changes_when_the_last_one_serves() {
        let changing = [member("a", Stage::Changing, false), member("b", Stage::Outdated, true)];
        assert_eq!(admitted(&changing, 1), ["a"]);
        let done = [member("a", Stage::Done, true), member("b", Stage::Outdated, true)];
        assert_eq!(admitted(&done, 1), ["a", "b"]);
    }

    #[test]
    fn a_node_that_serves_nothing_may_change_at_any_time_but_counts() {
        let pool = [member("a", Stage::Outdated, false), member("b", Stage::Outdated, true)];
        assert_eq!(admitted(&pool, 1), ["a"]);
    }

    #[test]
    fn a_node_that_is_down_does_not_hold_up_the_others() {
        let down = Member {
            up: false,
            ..member("a", Stage::Changing, false)
        };
        assert_eq!(admitted(&[down, member("b", Stage::Outdated, true)], 1), ["a", "b"]);
    }

    fn members() -> impl Strategy<Value = Vec<Member<'static>>> {
        let stage = prop_oneof![
            Just(Stage::Fresh),
            Just(Stage::Outdated),
            Just(Stage::Changing),
            Just(Stage::Done),
        ];
        let member = (stage, any::<bool>(), prop::bool::weighted(0.8)).prop_map(|(stage, serving, up)| {
            let serving = match stage {
                Stage::Fresh => false,
                Stage::Done => true,
                Stage::Outdated | Stage::Changing => serving,
            };
            Member {
                name: "",
                stage,
                serving,
                up,
            }
        });
        let names: Vec<&'static str> = vec!["a", "b", "c", "d", "e", "f", "g", "h"];
        prop::collection::vec(member, 0..8).prop_map(move |mut members| {
            members
                .iter_mut()
                .zip(&names)
                .for_each(|(member, &name)| member.name = name);
            members
        })
    }

    /// Nodes that are up and may be without service because they have been, or are being, told the change.
    fn at_risk(pool: &[Member<'_>]) -> usize {
        pool.iter()
            .filter(|member| member.up && member.stage == Stage::Changing)
            .count()
    }

    proptest! {
        /// Whatever nodes do in between, we never take a serving node out when the limit is reached already.
        #[test]
        fn never_more_than_max_unavailable_at_risk(pool in members(), max_unavailable in 1usize..4) {
            let admitted = admitted(&pool, max_unavailable);
            let taken = pool
                .iter()
                .filter(|m| m.up && m.stage == Stage::Outdated && m.serving && admitted.contains(&m.name))
                .count();
            prop_assert!(taken == 0 || taken + at_risk(&pool) <= max_unavailable);
        }

        /// If every node that is told a change gets ready with it, the rollout ends.
        #[test]
        fn it_always_ends(mut pool in members(), max_unavailable in 1usize..4) {
            for _ in 0..=pool.len() {
                let admitted = admitted(&pool, max_unavailable);
                for member in &mut pool {
                    if admitted.contains(&member.name) || member.stage == Stage::Changing {
                        (member.stage, member.serving) = (Stage::Done, true);
                    }
                }
            }
            prop_assert!(pool.iter().all(|member| member.stage == Stage::Done));
        }
    }
}
