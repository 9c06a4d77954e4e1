//! The set itself, and its wire form.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::Element;

/// A set of paths, as a tree.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldSet {
    members: BTreeSet<Element>,
    children: BTreeMap<Element, FieldSet>,
}

static EMPTY: FieldSet = FieldSet {
    members: BTreeSet::new(),
    children: BTreeMap::new(),
};

impl FieldSet {
    pub(crate) fn insert(&mut self, element: Element) {
        self.members.insert(element);
    }

    /// The set below `element`, made if absent.
    pub(crate) fn child_mut(&mut self, element: &str) -> &mut FieldSet {
        self.children.entry(element.to_owned()).or_default()
    }

    pub(crate) fn child(&self, element: &str) -> &FieldSet {
        self.children.get(element).unwrap_or(&EMPTY)
    }

    /// Whether the set has the element itself or something below it.
    pub(crate) fn covers(&self, element: &str) -> bool {
        self.members.contains(element) || self.children.get(element).is_some_and(|child| !child.is_empty())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty() && self.children.values().all(FieldSet::is_empty)
    }

    /// Takes the element and everything below it out.
    pub(crate) fn remove(&mut self, element: &str) {
        self.members.remove(element);
        self.children.remove(element);
    }

    /// Keeps only the elements that `keep` wants, at the top.
    pub(crate) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.members.retain(|element| keep(element));
        self.children.retain(|element, _| keep(element));
    }

    pub(crate) fn union(&self, other: &FieldSet) -> FieldSet {
        let mut union = self.clone();
        union.members.extend(other.members.iter().cloned());
        for (element, child) in &other.children {
            let merged = union.child(element).union(child);
            union.children.insert(element.clone(), merged);
        }
        union
    }

    pub(crate) fn intersection(&self, other: &FieldSet) -> FieldSet {
        self.combine(
            other,
            |mine, theirs| mine.intersection(theirs).cloned().collect(),
            FieldSet::intersection,
        )
    }

    pub(crate) fn difference(&self, other: &FieldSet) -> FieldSet {
        self.combine(
            other,
            |mine, theirs| mine.difference(theirs).cloned().collect(),
            FieldSet::difference,
        )
    }

    fn combine(
        &self,
        other: &FieldSet,
        members: impl Fn(&BTreeSet<Element>, &BTreeSet<Element>) -> BTreeSet<Element>,
        child: impl Fn(&FieldSet, &FieldSet) -> FieldSet,
    ) -> FieldSet {
        let children = self
            .children
            .iter()
            .map(|(element, mine)| (element.clone(), child(mine, other.child(element))))
            .filter(|(_, set)| !set.is_empty())
            .collect();
        FieldSet {
            members: members(&self.members, &other.members),
            children,
        }
    }

    /// The `fieldsV1` form.
    pub(crate) fn to_json(&self) -> Value {
        let mut map = Map::new();
        let elements: BTreeSet<&Element> = self.members.iter().chain(self.children.keys()).collect();
        for element in elements {
            let child = self.child(element);
            let mut value = if child.is_empty() { json!({}) } else { child.to_json() };
            if !child.is_empty() && self.members.contains(element) {
                crate::object::map_mut(&mut value).insert(".".into(), json!({}));
            }
            if !child.is_empty() || self.members.contains(element) {
                map.insert(element.clone(), value);
            }
        }
        Value::Object(map)
    }

    /// Reads the `fieldsV1` form.
    pub(crate) fn from_json(json: &Value) -> FieldSet {
        let mut set = FieldSet::default();
        for (element, value) in json
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(element, _)| *element != ".")
        {
            let below = value.as_object().is_some_and(|map| map.keys().any(|key| key != "."));
            if !below || value.get(".").is_some() {
                set.members.insert(element.clone());
            }
            if below {
                set.children.insert(element.clone(), FieldSet::from_json(value));
            }
        }
        set
    }

    /// All paths in the form of messages: `.spec.ports[port=80,protocol="TCP"].nodePort`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect("", &mut paths);
        paths
    }

    fn collect(&self, prefix: &str, paths: &mut Vec<String>) {
        let elements: BTreeSet<&Element> = self.members.iter().chain(self.children.keys()).collect();
        for element in elements {
            let path = format!("{prefix}{}", shown(element));
            if self.members.contains(element) {
                paths.push(path.clone());
            }
            self.child(element).collect(&path, paths);
        }
    }
}

fn shown(element: &str) -> String {
    match element.split_once(':') {
        Some(("f", name)) => format!(".{name}"),
        Some(("k", key)) => {
            let key: Value = serde_json::from_str(key).unwrap_or_default();
            let pairs: Vec<String> = key
                .as_object()
                .into_iter()
                .flatten()
                .map(|(k, v)| format!("{k}={v}"))
                .collect();
            format!("[{}]", pairs.join(","))
        }
        Some(("v", value)) => format!("[={value}]"),
        _ => format!("[{element}]"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(json: &Value) -> FieldSet {
        FieldSet::from_json(json)
    }

    #[test]
    fn a_set_survives_the_way_to_json_and_back() {
        let wire = json!({
            "f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:status": {"f:conditions": {"k:{\"type\":\"Ready\"}": {".": {}, "f:status": {}, "f:type": {}}}},
        });
        assert_eq!(set(&wire).to_json(), wire);
    }

    #[test]
    fn sets_are_combined_path_by_path() {
        let a = set(&json!({"f:spec": {"f:mode": {}, "f:devices": {"v:\"eth0\"": {}}}}));
        let b = set(&json!({"f:spec": {"f:mode": {}, "f:devices": {"v:\"eth1\"": {}}}}));
        assert_eq!(a.intersection(&b).paths(), [".spec.mode"]);
        assert_eq!(a.difference(&b).paths(), [r#".spec.devices[="eth0"]"#]);
        assert_eq!(a.union(&b).paths().len(), 3);
        assert!(a.difference(&a).is_empty());
    }

    #[test]
    fn paths_read_as_in_messages() {
        let ports = set(&json!({"f:spec": {"f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:nodePort": {}}}}}));
        assert_eq!(ports.paths(), [r#".spec.ports[port=80,protocol="TCP"].nodePort"#]);
    }
}
