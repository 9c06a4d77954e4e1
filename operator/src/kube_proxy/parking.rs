//! How a DaemonSet is kept off nodes, and let back to them as it was.
//!
//! Off every node: its node selector asks for one more label, which no node has. Off the nodes of some pools: its node affinity
//! asks for nodes that are in none of them; what it was before is kept in an annotation. Either is one patch, for the version of the
//! object that was looked at.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{Affinity, NodeSelectorRequirement, NodeSelectorTerm};
use kpr_crds::{NodeSelector, SelectorOperator};
use serde_json::{Map, Value, json};

use super::view::{DaemonSetView, ORIGINAL_AFFINITY, PARKED_BY, PARKED_LABEL};

/// Alternatives of a node affinity: more would be a burden for the scheduler, and nobody could read them.
const MOST_TERMS: usize = 32;

/// Why a DaemonSet can't be kept off these nodes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The selectors would make too many alternatives.
    #[error(
        "the node affinity that keeps it off the pool would have more than {MOST_TERMS} alternatives: simplify spec.nodeSelector"
    )]
    TooManyTerms,
    /// The annotation with its original affinity can't be read.
    #[error("its annotation {ORIGINAL_AFFINITY} can't be read")]
    Annotation,
}

/// Who keeps it parked: names of policies, with the pools that they have; none is every node.
pub type Holders<'a> = BTreeMap<&'a str, Option<&'a NodeSelector>>;

/// Is it off every node, or off some?
pub fn is_parked(set: &DaemonSetView) -> bool {
    set.node_selector.contains_key(PARKED_LABEL) || set.original_affinity.is_some()
}

/// The merge patch that makes the DaemonSet parked for exactly these holders; none if it is.
pub fn patch(set: &DaemonSetView, holders: &Holders<'_>) -> Result<Option<Value>, Refusal> {
    let original: Option<Affinity> = match &set.original_affinity {
        Some(text) => serde_json::from_str(text).map_err(|_| Refusal::Annotation)?,
        None => set.affinity.clone(),
    };
    let mut node_selector = set.node_selector.clone();
    node_selector.remove(PARKED_LABEL);
    let mut affinity = original.clone();
    let mut remembered = None;
    let everywhere = holders
        .values()
        .any(|pool| pool.is_none_or(|pool| *pool == NodeSelector::default()));
    if everywhere {
        node_selector.insert(PARKED_LABEL.to_owned(), "true".to_owned());
    } else if !holders.is_empty() {
        remembered = Some(json!(original).to_string());
        affinity = Some(off(original, holders.values().copied().flatten())?);
    }
    let names: BTreeSet<String> = holders.keys().map(|&name| name.to_owned()).collect();
    let before = shape(
        &set.parked_by,
        set.original_affinity.as_deref(),
        &set.node_selector,
        set.affinity.as_ref(),
    );
    let after = shape(&names, remembered.as_deref(), &node_selector, affinity.as_ref());
    Ok(difference(&before, &after).map(|mut patch| {
        patch["metadata"]["resourceVersion"] = json!(set.version);
        patch
    }))
}

/// The parts of the object that parking is about. What is empty is not there, as the API server stores it.
fn shape(
    parked_by: &BTreeSet<String>,
    original_affinity: Option<&str>,
    node_selector: &BTreeMap<String, String>,
    affinity: Option<&Affinity>,
) -> Value {
    let mut annotations = Map::new();
    if !parked_by.is_empty() {
        let names: Vec<_> = parked_by.iter().map(String::as_str).collect();
        annotations.insert(PARKED_BY.to_owned(), json!(names.join(",")));
    }
    if let Some(original) = original_affinity {
        annotations.insert(ORIGINAL_AFFINITY.to_owned(), json!(original));
    }
    let mut pod = Map::new();
    if !node_selector.is_empty() {
        pod.insert("nodeSelector".to_owned(), json!(node_selector));
    }
    if let Some(affinity) = affinity {
        pod.insert("affinity".to_owned(), json!(affinity));
    }
    json!({ "metadata": { "annotations": annotations }, "spec": { "template": { "spec": pod } } })
}

/// This affinity, for nodes that are in none of the pools only.
fn off<'a>(original: Option<Affinity>, pools: impl Iterator<Item = &'a NodeSelector>) -> Result<Affinity, Refusal> {
    let mut affinity = original.unwrap_or_default();
    let required = affinity
        .node_affinity
        .get_or_insert_default()
        .required_during_scheduling_ignored_during_execution
        .get_or_insert_default();
    let mut terms = std::mem::take(&mut required.node_selector_terms);
    if terms.is_empty() {
        terms.push(NodeSelectorTerm::default());
    }
    // A node is outside of a pool if it fails one of the pool's demands: each is an alternative.
    for pool in pools {
        let failing = outside(pool);
        let product = terms.iter().flat_map(|term| {
            failing.iter().map(|requirement| {
                let mut term = term.clone();
                term.match_expressions.get_or_insert_default().push(requirement.clone());
                term
            })
        });
        terms = product.take(MOST_TERMS + 1).collect();
        if terms.len() > MOST_TERMS {
            return Err(Refusal::TooManyTerms);
        }
    }
    required.node_selector_terms = terms;
    Ok(affinity)
}

/// What nodes outside of the pool fulfil, one of these at least.
fn outside(pool: &NodeSelector) -> Vec<NodeSelectorRequirement> {
    let requirement = |key: &str, operator: &str, values: &[String]| NodeSelectorRequirement {
        key: key.to_owned(),
        operator: operator.to_owned(),
        values: (!values.is_empty()).then(|| values.to_vec()),
    };
    let labels = pool
        .match_labels
        .iter()
        .map(|(key, value)| requirement(key, "NotIn", std::slice::from_ref(value)));
    let expressions = pool.match_expressions.iter().map(|demand| {
        let operator = match demand.operator {
            SelectorOperator::In => "NotIn",
            SelectorOperator::NotIn => "In",
            SelectorOperator::Exists => "DoesNotExist",
            SelectorOperator::DoesNotExist => "Exists",
        };
        requirement(&demand.key, operator, &demand.values)
    });
    labels.chain(expressions).collect()
}

/// The merge patch (RFC 7386) from one value to the other; none if they are the same.
fn difference(before: &Value, after: &Value) -> Option<Value> {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let gone = old
                .keys()
                .filter(|key| !new.contains_key(*key))
                .map(|key| (key.clone(), Value::Null));
            let changed = new.iter().filter_map(|(key, value)| match old.get(key) {
                Some(old) => Some((key.clone(), difference(old, value)?)),
                None => Some((key.clone(), value.clone())),
            });
            let patch: Map<String, Value> = gone.chain(changed).collect();
            (!patch.is_empty()).then_some(Value::Object(patch))
        }
        _ if before == after => None,
        _ => Some(after.clone()),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::apps::v1::DaemonSet;
    use kpr_crds::Requirement;
    use proptest::prelude::*;

    use super::*;

    fn object(pod: &Value) -> Value {
        let mut object = json!({
            "metadata": { "name": "kube-proxy", "namespace": "kube-system", "resourceVersion": "7" },
            "spec": { "selector": {}, "template": {
                "metadata": { "labels": { "k8s-app": "kube-proxy" } }, "spec": { "containers": [] },
            } },
        });
        json_patch::merge(&mut object["spec"]["template"]["spec"], pod);
        object
    }

    fn view(object: &Value) -> DaemonSetView {
        let set: DaemonSet = serde_json::from_value(object.clone()).expect("DaemonSet");
        DaemonSetView::of(&set).expect("one of kube-proxy")
    }

    /// As the API server stores it: what is empty goes.
    fn patched(object: &Value, patch: &Value) -> Value {
        let mut patched = object.clone();
        json_patch::merge(&mut patched, patch);
        for empty in ["/metadata/annotations", "/spec/template/spec/nodeSelector"] {
            let (parent, key) = empty.rsplit_once('/').expect("a path");
            if patched.pointer(empty) == Some(&json!({})) {
                let parent = patched.pointer_mut(parent).expect("parent");
                parent.as_object_mut().expect("object").remove(key);
            }
        }
        patched
    }

    fn pool(labels: &[(&str, &str)]) -> NodeSelector {
        NodeSelector {
            match_labels: labels.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            ..NodeSelector::default()
        }
    }

    #[test]
    fn off_every_node_it_asks_for_a_label_more_and_comes_back_as_it_was() {
        for pod in [json!({}), json!({ "nodeSelector": { "kubernetes.io/os": "linux" } })] {
            let before = object(&pod);
            let holders = Holders::from([("default", None)]);
            let patch_in = patch(&view(&before), &holders).expect("possible").expect("a change");
            assert_eq!(
                patch_in["metadata"]["resourceVersion"], "7",
                "for the version that was looked at"
            );
            let parked = patched(&before, &patch_in);
            let set = view(&parked);
            assert!(is_parked(&set));
            assert_eq!(set.node_selector[PARKED_LABEL], "true");
            assert_eq!(patch(&set, &holders), Ok(None), "it is as wanted");

            let patch_out = patch(&set, &Holders::new()).expect("possible").expect("a change");
            assert_eq!(patched(&parked, &patch_out), before);
        }
    }

    #[test]
    fn off_a_pool_its_affinity_keeps_what_it_had() {
        let amd64 = json!({ "key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"] });
        let before = object(&json!({ "affinity": { "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": [{ "matchExpressions": [amd64] }] },
        } } }));
        let edge = pool(&[("pool", "edge")]);
        let holders = Holders::from([("edge", Some(&edge))]);
        let parked = patched(
            &before,
            &patch(&view(&before), &holders).expect("possible").expect("a change"),
        );
        let path = "/spec/template/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        assert_eq!(
            parked.pointer(path),
            Some(&json!([{ "matchExpressions": [
                amd64, { "key": "pool", "operator": "NotIn", "values": ["edge"] },
            ] }]))
        );
        assert_eq!(patch(&view(&parked), &holders), Ok(None));
        let back = patch(&view(&parked), &Holders::new())
            .expect("possible")
            .expect("a change");
        assert_eq!(patched(&parked, &back), before);
    }

    #[test]
    fn too_many_alternatives_are_refused() {
        let wide = |name: &str| {
            pool(
                &(0..7)
                    .map(|n| format!("{name}-{n}"))
                    .collect::<Vec<_>>()
                    .iter()
                    .map(|k| (k.as_str(), "x"))
                    .collect::<Vec<_>>(),
            )
        };
        let (a, b) = (wide("a"), wide("b"));
        let holders = Holders::from([("a", Some(&a)), ("b", Some(&b))]);
        assert_eq!(patch(&view(&object(&json!({}))), &holders), Err(Refusal::TooManyTerms));
    }

    fn requirement() -> impl Strategy<Value = Requirement> {
        use SelectorOperator::{DoesNotExist, Exists, In, NotIn};
        let operator = prop::sample::select(vec![In, NotIn, Exists, DoesNotExist]);
        let values = prop::collection::vec(prop::sample::select(vec!["x", "y"]), 1..3);
        (prop::sample::select(vec!["a", "b"]), operator, values).prop_map(|(key, operator, values)| Requirement {
            key: key.to_owned(),
            operator,
            values: if matches!(operator, In | NotIn) {
                values.into_iter().map(str::to_owned).collect()
            } else {
                Vec::new()
            },
        })
    }

    fn selector() -> impl Strategy<Value = NodeSelector> {
        prop::collection::vec(requirement(), 1..3).prop_map(|match_expressions| NodeSelector {
            match_expressions,
            ..NodeSelector::default()
        })
    }

    /// As the scheduler reads a node affinity.
    fn admits(affinity: Option<&Affinity>, labels: &BTreeMap<String, String>) -> bool {
        let required = affinity
            .and_then(|affinity| affinity.node_affinity.as_ref())
            .and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
        required.is_none_or(|required| {
            required.node_selector_terms.iter().any(|term| {
                term.match_expressions.iter().flatten().all(|demand| {
                    let value = labels.get(&demand.key);
                    let listed = value.is_some_and(|value| demand.values.iter().flatten().any(|one| one == value));
                    match demand.operator.as_str() {
                        "In" => listed,
                        "NotIn" => !listed,
                        "Exists" => value.is_some(),
                        _ => value.is_none(),
                    }
                })
            })
        })
    }

    proptest! {
        /// Whatever the pools: it runs on exactly the nodes that are in none, and comes back as it was.
        #[test]
        fn it_runs_exactly_outside_of_the_pools(
            pools in prop::collection::vec(selector(), 1..4),
            labels in prop::collection::btree_map(prop::sample::select(vec!["a", "b"]), prop::sample::select(vec!["x", "y", "z"]), 0..3),
        ) {
            let labels: BTreeMap<String, String> = labels.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            let names: Vec<String> = (0..pools.len()).map(|number| number.to_string()).collect();
            let holders: Holders<'_> = names.iter().map(String::as_str).zip(pools.iter().map(Some)).collect();
            let before = object(&json!({}));
            let parked = patched(&before, &patch(&view(&before), &holders).expect("possible").expect("a change"));
            let outside = pools.iter().all(|pool| !pool.matches(&labels));
            prop_assert_eq!(admits(view(&parked).affinity.as_ref(), &labels), outside);
            let back = patch(&view(&parked), &Holders::new()).expect("possible").expect("a change");
            prop_assert_eq!(patched(&parked, &back), before);
        }
    }
}
