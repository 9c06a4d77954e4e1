//! Label and field selectors.

pub(crate) mod fields;
pub(crate) mod labels;

use serde_json::Value;

pub(crate) use fields::FieldSelector;
pub(crate) use labels::LabelSelector;

/// What a list, a watch or a deletion of a collection is about.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection {
    /// Empty for all namespaces.
    pub(crate) namespace: String,
    pub(crate) labels: LabelSelector,
    pub(crate) fields: FieldSelector,
}

impl Selection {
    /// Whether the stored `object` is meant.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        (self.namespace.is_empty() || self.namespace == crate::object::namespace(object))
            && self.labels.matches(object)
            && self.fields.matches(object)
    }

    /// Whether there is any selector beside the namespace.
    pub(crate) fn is_narrowed(&self) -> bool {
        !self.labels.is_empty() || !self.fields.is_empty()
    }
}
