//! Versions of policies that our own writes have replaced.
//!
//! A reconciliation that follows closely on a write may still see the object of before it. To decide on that again would
//! write, and tell, the same things twice. The watch is sure to bring the newer object, and with it the next look.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// What we know of the versions of each policy.
#[derive(Debug, Default)]
pub(super) struct Superseded(Mutex<HashMap<String, Versions>>);

#[derive(Debug, Default)]
struct Versions {
    /// The answer to our last write.
    newest: Option<String>,
    /// Versions that are not the newest any more.
    old: HashSet<String>,
}

impl Superseded {
    /// A write has replaced this version by that one. The same one: it was no change.
    pub(super) fn note(&self, policy: &str, before: Option<&str>, after: Option<&str>) {
        let (Some(before), Some(after)) = (before, after) else {
            return;
        };
        if before == after {
            return;
        }
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let versions = versions.entry(policy.to_owned()).or_default();
        versions.old.insert(before.to_owned());
        if let Some(between) = versions
            .newest
            .replace(after.to_owned())
            .filter(|newest| newest != after)
        {
            versions.old.insert(between);
        }
    }

    /// Do we know that there is a newer version? Once a newer one was seen, the old ones are forgotten.
    pub(super) fn contains(&self, policy: &str, version: Option<&str>) -> bool {
        let mut versions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let old = version.is_some_and(|version| {
            versions
                .get(policy)
                .is_some_and(|versions| versions.old.contains(version))
        });
        if !old {
            versions.remove(policy);
        }
        old
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_that_we_replaced_is_old_until_a_newer_one_is_seen() {
        let superseded = Superseded::default();
        superseded.note("default", Some("1"), Some("2"));
        // The second write of the same reconciliation.
        superseded.note("default", Some("1"), Some("3"));
        assert!(superseded.contains("default", Some("1")));
        assert!(superseded.contains("default", Some("2")));
        assert!(!superseded.contains("other", Some("1")));
        assert!(!superseded.contains("default", Some("3")));
        assert!(!superseded.contains("default", Some("1")), "forgotten");
    }

    #[test]
    fn a_write_that_changed_nothing_supersedes_nothing() {
        let superseded = Superseded::default();
        superseded.note("default", Some("1"), Some("1"));
        assert!(!superseded.contains("default", Some("1")));
    }
}
