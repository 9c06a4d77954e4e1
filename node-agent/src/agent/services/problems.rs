//! What is wrong with Services, whichever address families it is found in.

use std::collections::{BTreeMap, BTreeSet};

use tracing::warn;

use crate::{
    model::{NamespacedName, Problem},
    plan::Scope,
};

/// What cannot be served as its owner wrote it. A rule that is applied in both families finds most of it twice; here it
/// stands once, and goes when no family finds it any more.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// By Service, then the problem; with the families that found it.
    by_service: BTreeMap<NamespacedName, BTreeMap<Problem, BTreeSet<&'static str>>>,
}

impl Problems {
    /// Remembers what a family finds wrong with the Services that were looked at; says what is new.
    pub(super) fn learn(
        &mut self,
        family: &'static str,
        scope: Scope,
        found: impl IntoIterator<Item = (NamespacedName, Vec<Problem>)>,
    ) {
        let mut found: BTreeMap<_, _> = found.into_iter().collect();
        if scope == Scope::All {
            // Who is not among all Services is gone.
            for name in self.by_service.keys() {
                found.entry(name.clone()).or_default();
            }
        }
        for (service, problems) in found {
            self.replace(family, service, problems);
        }
    }

    fn replace(&mut self, family: &'static str, service: NamespacedName, problems: Vec<Problem>) {
        let mut known = self.by_service.remove(&service).unwrap_or_default();
        let new: Vec<_> = problems
            .into_iter()
            .map(|problem| (known.contains_key(&problem), problem))
            .collect();
        for families in known.values_mut() {
            families.remove(family);
        }
        for (was_known, problem) in new {
            if !was_known {
                let kind = if service.is_pod() { "Pod" } else { "Service" };
                warn!("{kind} {service}: {problem}");
            }
            known.entry(problem).or_default().insert(family);
        }
        known.retain(|_, families| !families.is_empty());
        if !known.is_empty() {
            self.by_service.insert(service, known);
        }
    }

    /// Each once, by Service.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.by_service.values().flat_map(BTreeMap::keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ProblemKind, tests::fixtures::named};

    #[test]
    fn what_both_families_find_stays_until_neither_does() {
        let name = named("web");
        let problem = ProblemKind::AffinityUnsupported.of(&name);
        let mut problems = Problems::default();
        for (family, found, left) in [
            ("IPv4", true, 1),
            ("IPv6", true, 1),
            ("IPv4", false, 1),
            ("IPv6", false, 0),
        ] {
            let found = found.then(|| problem.clone()).into_iter().collect();
            problems.learn(family, Scope::Changed, [(name.clone(), found)]);
            assert_eq!(problems.iter().count(), left, "after {family}");
        }
    }
}
