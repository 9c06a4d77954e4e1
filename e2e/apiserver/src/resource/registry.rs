//! All resources served right now.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Resource, builtin};

/// Built-in resources and those of established CRDs.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    resources: Vec<Arc<Resource>>,
    /// By CRD name.
    custom: BTreeMap<String, Vec<Arc<Resource>>>,
}

impl Registry {
    pub(crate) fn new() -> Self {
        Self {
            resources: builtin::resources().into_iter().map(Arc::new).collect(),
            custom: BTreeMap::new(),
        }
    }

    /// Replaces what the CRD `name` serves.
    pub(crate) fn set_custom(&mut self, name: &str, served: Vec<Resource>) {
        self.custom
            .insert(name.to_owned(), served.into_iter().map(Arc::new).collect());
    }

    pub(crate) fn remove_custom(&mut self, name: &str) {
        self.custom.remove(name);
    }

    /// Everything served, built-in first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.resources.iter().chain(self.custom.values().flatten())
    }

    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<&Arc<Resource>> {
        self.all()
            .find(|r| r.group == group && r.version == version && r.plural == plural)
    }

    /// The resource of a built-in kind.
    pub(crate) fn built_in(&self, group: &str, kind: &str) -> Option<&Arc<Resource>> {
        self.resources.iter().find(|r| r.is(group, kind) && r.group == group)
    }

    /// The groups with their versions in the order of discovery; the core group ("") comes first.
    pub(crate) fn groups(&self) -> Vec<(String, Vec<String>)> {
        let mut groups: Vec<(String, Vec<String>)> = Vec::new();
        for resource in self.all() {
            let at = groups
                .iter()
                .position(|(group, _)| *group == resource.group)
                .unwrap_or_else(|| {
                    groups.push((resource.group.clone(), Vec::new()));
                    groups.len() - 1
                });
            if !groups[at].1.contains(&resource.version) {
                groups[at].1.push(resource.version.clone());
            }
        }
        for (_, versions) in &mut groups {
            versions.sort_by(|a, b| super::custom::compare_versions(a, b));
        }
        groups
    }

    /// The resources of one group and version.
    /// Whether anything of this group and version is served.
    pub(crate) fn serves(&self, group: &str, version: &str) -> bool {
        self.of_version(group, version).next().is_some()
    }

    pub(crate) fn of_version<'a>(
        &'a self,
        group: &'a str,
        version: &'a str,
    ) -> impl Iterator<Item = &'a Arc<Resource>> {
        self.all().filter(move |r| r.group == group && r.version == version)
    }
}
