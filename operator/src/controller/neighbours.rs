//! A policy that changes may give nodes to another, or take them from it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kpr_crds::KubeProxyReplacement;
use kube::ResourceExt;
use tokio::sync::Notify;

/// The policies as they were when each was looked at last, and whom to tell when one of them is different.
#[derive(Debug)]
pub(super) struct Neighbours {
    seen: Mutex<HashMap<String, Claimant>>,
    changed: Arc<Notify>,
}

/// What claims to nodes depend on; the status is no part of it.
#[derive(Debug, Eq, PartialEq)]
struct Claimant {
    uid: Option<String>,
    generation: Option<i64>,
    deleting: bool,
}

impl Neighbours {
    pub(super) fn new(changed: Arc<Notify>) -> Self {
        Self {
            seen: Mutex::default(),
            changed,
        }
    }

    /// This policy is about to be looked at: if it has changed, so must all.
    pub(super) fn saw(&self, policy: &KubeProxyReplacement) {
        let claimant = Claimant {
            uid: policy.uid(),
            generation: policy.metadata.generation,
            deleting: policy.metadata.deletion_timestamp.is_some(),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.get(&policy.name_any()) != Some(&claimant) {
            seen.insert(policy.name_any(), claimant);
            self.changed.notify_one();
        }
    }

    /// This policy is gone.
    pub(super) fn lost(&self, policy: &str) {
        if self
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(policy)
            .is_some()
        {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use kube::ResourceExt;

    use super::*;
    use crate::decide::fixtures::policy;

    #[test]
    fn only_what_claims_depend_on_is_told() {
        let changed = Arc::new(Notify::new());
        let neighbours = Neighbours::new(Arc::clone(&changed));
        let told = |what: &dyn Fn()| {
            what();
            changed.notified().now_or_never().is_some()
        };
        let mut object = policy("default").build();
        assert!(told(&|| neighbours.saw(&object)), "it is new");
        assert!(!told(&|| neighbours.saw(&object)));
        object.labels_mut().insert("team".to_owned(), "net".to_owned());
        assert!(!told(&|| neighbours.saw(&object)), "a label means nothing");
        assert!(told(&|| neighbours.saw(&policy("default").generation(2).build())));
        assert!(told(
            &|| neighbours.saw(&policy("default").generation(2).deleted().build())
        ));
        assert!(told(&|| neighbours.lost("default")));
        assert!(!told(&|| neighbours.lost("default")));
    }
}
