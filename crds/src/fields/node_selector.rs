//! The nodes of a pool.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Selects nodes by their labels: all of `matchLabels` and all of `matchExpressions` hold. Empty selects every node.
///
/// The same meaning as a `metav1.LabelSelector`, with a schema that refuses what would select nothing by mistake.
#[derive(Clone, Debug, Default, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeSelector {
    /// Labels that a node must have, with these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub match_labels: BTreeMap<String, String>,
    /// Further demands on the labels of a node.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub match_expressions: Vec<Requirement>,
}

/// One demand on the labels of a node.
#[derive(Clone, Debug, Deserialize, Eq, KubeSchema, PartialEq, Serialize)]
#[x_kube(validation = Rule::new("(self.operator in ['In', 'NotIn']) == (size(self.values) > 0)")
    .message("spec.nodeSelector.matchExpressions: operators In and NotIn need values, Exists and DoesNotExist take none")
    .field_path(".values"))]
pub struct Requirement {
    /// Label name.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// How the label's value relates to `values`.
    pub operator: SelectorOperator,
    /// The values that `In` and `NotIn` compare with.
    #[serde(default)]
    #[schemars(length(max = 256), inner(length(max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub values: Vec<String>,
}

/// The operators of a `metav1.LabelSelectorRequirement`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, JsonSchema, PartialEq, Serialize)]
pub enum SelectorOperator {
    /// The node has the label, with one of the values.
    In,
    /// The node does not have the label with one of the values (a node without the label is selected).
    NotIn,
    /// The node has the label.
    Exists,
    /// The node does not have the label.
    DoesNotExist,
}

impl NodeSelector {
    /// Is a node with these labels in the pool?
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.matches_by(|key| labels.get(key).map(String::as_str))
    }

    /// The same, for whoever keeps labels otherwise: `label` gives the value of the label of a name.
    pub fn matches_by<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        let Self {
            match_labels,
            match_expressions,
        } = self;
        match_labels.iter().all(|(key, value)| label(key) == Some(value))
            && match_expressions
                .iter()
                .all(|requirement| requirement.matches(label(&requirement.key)))
    }
}

impl Requirement {
    fn matches(&self, value: Option<&str>) -> bool {
        let listed = || value.is_some_and(|value| self.values.iter().any(|listed| listed == value));
        match self.operator {
            SelectorOperator::In => listed(),
            SelectorOperator::NotIn => !listed(),
            SelectorOperator::Exists => value.is_some(),
            SelectorOperator::DoesNotExist => value.is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect()
    }

    fn expression(operator: SelectorOperator, values: &[&str]) -> NodeSelector {
        let values = values.iter().map(|&value| value.to_owned()).collect();
        NodeSelector {
            match_expressions: vec![Requirement {
                key: "zone".to_owned(),
                operator,
                values,
            }],
            ..NodeSelector::default()
        }
    }

    #[test]
    fn an_empty_selector_selects_every_node() {
        assert!(NodeSelector::default().matches(&labels(&[])));
        assert!(NodeSelector::default().matches(&labels(&[("zone", "a")])));
    }

    #[test]
    fn match_labels_must_all_be_there() {
        let selector = NodeSelector {
            match_labels: labels(&[("zone", "a"), ("pool", "x")]),
            ..Default::default()
        };
        assert!(selector.matches(&labels(&[("zone", "a"), ("pool", "x"), ("other", "y")])));
        assert!(!selector.matches(&labels(&[("zone", "a")])));
        assert!(!selector.matches(&labels(&[("zone", "a"), ("pool", "y")])));
    }

    #[test]
    fn operators_mean_what_label_selectors_mean() {
        use SelectorOperator::{DoesNotExist, Exists, In, NotIn};
        // operator, values, selects zone=a, selects zone=c, selects a node without zone
        let table: [(_, &[&str], _, _, _); 4] = [
            (In, &["a", "b"], true, false, false),
            (NotIn, &["a", "b"], false, true, true),
            (Exists, &[], true, true, false),
            (DoesNotExist, &[], false, false, true),
        ];
        for (operator, values, zone_a, zone_c, without) in table {
            let selector = expression(operator, values);
            assert_eq!(
                selector.matches(&labels(&[("zone", "a")])),
                zone_a,
                "{operator:?} zone=a"
            );
            assert_eq!(
                selector.matches(&labels(&[("zone", "c")])),
                zone_c,
                "{operator:?} zone=c"
            );
            assert_eq!(selector.matches(&labels(&[])), without, "{operator:?} no label");
        }
    }
}
