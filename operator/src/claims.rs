//! Which `KubeProxyReplacement` a node belongs to.
//!
//! The oldest object that selects a node has it. An object that is being deleted gives its nodes to any other that
//! selects them, however young, so that they go from one to the other without a gap; nodes that nobody else selects stay
//! with it until they are drained.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use kpr_crds::KubeProxyReplacement;
use kube::ResourceExt;

use crate::node::NodeView;

/// The owner of every node that is selected, and who else wanted it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Claims {
    nodes: BTreeMap<String, Claim>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Claim {
    owner: String,
    others: Vec<String>,
}

/// Shares the nodes out among the policies.
pub fn share<'a>(
    policies: impl IntoIterator<Item = &'a KubeProxyReplacement>,
    nodes: &BTreeMap<String, NodeView>,
) -> Claims {
    let mut by_precedence: Vec<&KubeProxyReplacement> = policies.into_iter().collect();
    // Names break ties: creation times have whole seconds.
    by_precedence.sort_by_key(|policy| {
        let live = policy.metadata.deletion_timestamp.is_none();
        (
            Reverse(live),
            policy.creation_timestamp().map(|time| time.0),
            policy.name_any(),
        )
    });
    let mut claims = Claims::default();
    for (name, node) in nodes {
        let mut claimants = by_precedence
            .iter()
            .filter(|policy| {
                policy
                    .spec
                    .node_selector
                    .as_ref()
                    .is_none_or(|selector| selector.matches(&node.labels))
            })
            .map(|policy| policy.name_any());
        if let Some(owner) = claimants.next() {
            claims.nodes.insert(
                name.clone(),
                Claim {
                    owner,
                    others: claimants.collect(),
                },
            );
        }
    }
    claims
}

impl Claims {
    /// The policy that the node belongs to.
    pub fn owner(&self, node: &str) -> Option<&str> {
        self.nodes.get(node).map(|claim| claim.owner.as_str())
    }

    /// Names of the nodes of a policy, sorted.
    pub fn of<'a>(&'a self, policy: &'a str) -> impl Iterator<Item = &'a str> {
        self.nodes
            .iter()
            .filter(move |(_, claim)| claim.owner == policy)
            .map(|(node, _)| node.as_str())
    }

    /// Nodes that the policy selects but does not have, with the one that has them.
    pub fn lost_by<'a>(&'a self, policy: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.nodes
            .iter()
            .filter(move |(_, claim)| claim.others.iter().any(|other| other == policy))
            .map(|(node, claim)| (node.as_str(), claim.owner.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// A policy for nodes with label `pool`, created at this second; every node if no pool is given.
    fn policy(name: &str, created: i64, pool: Option<&str>, deleting: bool) -> KubeProxyReplacement {
        let time = |second| jiff::Timestamp::from_second(second).expect("time").to_string();
        let mut object = json!({
            "apiVersion": "kpr.dev/v1alpha1", "kind": "KubeProxyReplacement",
            "metadata": { "name": name, "creationTimestamp": time(created) },
            "spec": {},
        });
        if deleting {
            object["metadata"]["deletionTimestamp"] = json!(time(created + 1000));
        }
        if let Some(pool) = pool {
            object["spec"]["nodeSelector"] = json!({ "matchLabels": { "pool": pool } });
        }
        serde_json::from_value(object).expect("policy")
    }

    fn nodes(pools: &[(&str, &str)]) -> BTreeMap<String, NodeView> {
        let view = |pool: &str| NodeView {
            labels: BTreeMap::from([("pool".into(), pool.into())]),
            up: true,
        };
        pools
            .iter()
            .map(|(name, pool)| ((*name).to_owned(), view(pool)))
            .collect()
    }

    #[test]
    fn each_pool_gets_its_nodes() {
        let policies = [policy("a", 1, Some("x"), false), policy("b", 2, Some("y"), false)];
        let claims = share(&policies, &nodes(&[("n1", "x"), ("n2", "y"), ("n3", "z")]));
        assert_eq!(claims.of("a").collect::<Vec<_>>(), ["n1"]);
        assert_eq!(claims.of("b").collect::<Vec<_>>(), ["n2"]);
        assert_eq!(claims.owner("n3"), None);
        assert_eq!(claims.lost_by("b").count(), 0);
    }

    #[test]
    fn the_older_object_has_a_node_that_two_select() {
        let policies = [
            policy("a-young", 20, None, false),
            policy("z-old", 10, Some("x"), false),
        ];
        let claims = share(&policies, &nodes(&[("n1", "x"), ("n2", "y")]));
        assert_eq!(claims.owner("n1"), Some("z-old"));
        assert_eq!(claims.owner("n2"), Some("a-young"));
        assert_eq!(claims.lost_by("a-young").collect::<Vec<_>>(), [("n1", "z-old")]);
        assert_eq!(claims.lost_by("z-old").count(), 0);
    }

    #[test]
    fn of_the_same_second_the_first_name_wins() {
        let policies = [policy("b", 10, None, false), policy("a", 10, None, false)];
        assert_eq!(share(&policies, &nodes(&[("n", "x")])).owner("n"), Some("a"));
    }

    #[test]
    fn an_object_being_deleted_hands_its_nodes_to_another_that_selects_them() {
        let policies = [policy("old", 10, None, true), policy("young", 20, Some("x"), false)];
        let claims = share(&policies, &nodes(&[("n1", "x"), ("n2", "y")]));
        assert_eq!(claims.owner("n1"), Some("young"));
        assert_eq!(
            claims.owner("n2"),
            Some("old"),
            "nobody else wants it: it stays until it is drained"
        );
    }

    proptest! {
        #[test]
        fn the_order_in_which_objects_are_seen_does_not_matter(
            created in prop::collection::vec((0i64..4, any::<bool>()), 1..6),
            rotate in 0usize..6,
        ) {
            let mut policies: Vec<_> = created
                .iter()
                .enumerate()
                .map(|(index, &(second, deleting))| policy(&format!("p{index}"), second, None, deleting))
                .collect();
            let nodes = nodes(&[("n1", "x"), ("n2", "y")]);
            let before = share(&policies, &nodes);
            let by = rotate % policies.len();
            policies.rotate_left(by);
            prop_assert_eq!(before, share(&policies, &nodes));
        }
    }
}
