//! Labels of thousands of Nodes, most of which are the same.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// The labels of a Node, sorted.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Labels(Box<[(Arc<str>, Arc<str>)]>);

impl Labels {
    /// The value of this label.
    pub fn get(&self, key: &str) -> Option<&str> {
        let index = self.0.binary_search_by(|(known, _)| known.as_ref().cmp(key)).ok()?;
        Some(&self.0[index].1)
    }
}

impl From<BTreeMap<String, String>> for Labels {
    fn from(labels: BTreeMap<String, String>) -> Self {
        let sorted = labels.into_iter().map(|(key, value)| (key.into(), value.into()));
        Self(sorted.collect())
    }
}

/// Keeps each name and value once, however many Nodes have it: of twenty-odd labels, a Node shares all but a few.
#[derive(Debug, Default)]
pub struct Shared(Mutex<Texts>);

#[derive(Debug, Default)]
struct Texts {
    known: HashSet<Arc<str>>,
    /// With more than this, what no Node has any more is forgotten.
    most: usize,
}

impl Shared {
    /// The same labels, sharing their texts with those seen before.
    pub fn share(&self, labels: Labels) -> Labels {
        let mut texts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = labels.0.into_iter();
        let shared = shared.map(|(key, value)| (texts.one(key), texts.one(value))).collect();
        texts.forget();
        Labels(shared)
    }
}

impl Texts {
    fn one(&mut self, text: Arc<str>) -> Arc<str> {
        if let Some(known) = self.known.get(&text) {
            return Arc::clone(known);
        }
        self.known.insert(Arc::clone(&text));
        text
    }

    fn forget(&mut self) {
        const FEW: usize = 1024;
        if self.known.len() > self.most.max(FEW) {
            self.known.retain(|text| Arc::strong_count(text) > 1);
            self.most = 2 * self.known.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        let map: BTreeMap<_, _> = pairs
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect();
        map.into()
    }

    #[test]
    fn a_label_is_found_by_its_name() {
        let labels = labels(&[("zone", "a"), ("arch", "amd64"), ("pool", "")]);
        assert_eq!(labels.get("arch"), Some("amd64"));
        assert_eq!(labels.get("pool"), Some(""));
        assert_eq!(labels.get("os"), None);
    }

    #[test]
    fn the_texts_of_two_nodes_are_kept_once() {
        let shared = Shared::default();
        let one = shared.share(labels(&[("zone", "a"), ("name", "one")]));
        let two = shared.share(labels(&[("zone", "a"), ("name", "two")]));
        assert_eq!(two, labels(&[("zone", "a"), ("name", "two")]));
        assert!(Arc::ptr_eq(&one.0[1].0, &two.0[1].0));
        assert!(Arc::ptr_eq(&one.0[1].1, &two.0[1].1));
    }

    #[test]
    fn texts_that_no_node_has_are_forgotten() {
        let shared = Shared::default();
        for number in 0..10_000 {
            shared.share(labels(&[("name", &number.to_string())]));
        }
        assert!(shared.0.lock().expect("texts").known.len() < 2000);
    }
}
