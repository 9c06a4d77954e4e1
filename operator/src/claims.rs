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
pub struct Claims<'a> {
    /// Sorted by name.
    nodes: Vec<Claim<'a>>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct Claim<'a> {
    node: &'a str,
    owner: &'a str,
    others: Vec<&'a str>,
}

/// Shares the nodes out among the policies.
pub fn share<'a>(
    policies: impl IntoIterator<Item = &'a KubeProxyReplacement>,
    nodes: &'a BTreeMap<String, NodeView>,
) -> Claims<'a> {
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
    let mut claims = Claims {
        nodes: Vec::with_capacity(nodes.len()),
    };
    for (node, view) in nodes {
        let selects = |policy: &&&KubeProxyReplacement| {
            let selector = policy.spec.node_selector.as_ref();
            selector.is_none_or(|selector| selector.matches_by(|label| view.labels.get(label)))
        };
        let mut claimants = by_precedence
            .iter()
            .filter(selects)
            .map(|policy| policy.metadata.name.as_deref().unwrap_or_default());
        if let Some(owner) = claimants.next() {
            claims.nodes.push(Claim {
                node,
                owner,
                others: claimants.collect(),
            });
        }
    }
    claims
}

impl<'a> Claims<'a> {
    /// The policy that the node belongs to.
    pub fn owner(&self, node: &str) -> Option<&'a str> {
        let index = self.nodes.binary_search_by_key(&node, |claim| claim.node).ok()?;
        Some(self.nodes[index].owner)
    }

    /// Names of the nodes of a policy, sorted.
    pub fn of<'s>(&'s self, policy: &'s str) -> impl Iterator<Item = &'a str> + 's {
        self.nodes
            .iter()
            .filter(move |claim| claim.owner == policy)
            .map(|claim| claim.node)
    }

    /// Nodes that the policy selects but does not have, with the one that has them.
    pub fn lost_by<'s>(&'s self, policy: &'s str) -> impl Iterator<Item = (&'a str, &'a str)> + 's {
        self.nodes
            .iter()
            .filter(move |claim| claim.others.contains(&policy))
            .map(|claim| (claim.node, claim.owner))
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
            labels: BTreeMap::from([("pool".into(), pool.into())]).into(),
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
        let nodes = nodes(&[("n1", "x"), ("n2", "y"), ("n3", "z")]);
        let claims = share(&policies, &nodes);
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
        let nodes = nodes(&[("n1", "x"), ("n2", "y")]);
        let claims = share(&policies, &nodes);
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
        let nodes = nodes(&[("n1", "x"), ("n2", "y")]);
        let claims = share(&policies, &nodes);
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
            let policies: Vec<_> = created
                .iter()
                .enumerate()
                .map(|(index, &(second, deleting))| policy(&format!("p{index}"), second, None, deleting))
                .collect();
            let nodes = nodes(&[("n1", "x"), ("n2", "y")]);
            let before = share(&policies, &nodes);
            let by = rotate % policies.len();
            let mut rotated = policies.clone();
            rotated.rotate_left(by);
            prop_assert_eq!(before, share(&rotated, &nodes));
        }
    }
}
