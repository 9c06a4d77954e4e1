//! What is desired against what the maps hold.

use std::collections::BTreeSet;

use kpr_abi::{Family, ServiceKey};

use super::{Op, Plan, Programmed, Scope, draft::Draft};
use crate::hash::{HashMap, HashSet};
use crate::model::{DesiredService, IpFamily, NamespacedName};

/// Plans the writes. `owners` learns which Service wants which frontend, also where nothing is to be written.
pub(super) fn plan<F: IpFamily>(
    programmed: &Programmed<F>,
    owners: &mut Owners<F>,
    scope: Scope,
    desired: &[DesiredService<F>],
) -> Plan<F> {
    let mut draft = Draft::new(programmed, desired);
    let mut errors = Vec::new();
    let mut placed = HashSet::default();
    // Services that do not fit: they keep what they have.
    let mut skipped = HashSet::default();
    let mut skipped_keys = HashSet::default();
    for service in desired {
        let keys = service.frontends.iter().map(|frontend| frontend.key);
        let may_be_its_own = |key: &_| owners.of(key).is_none_or(|owner| *owner == service.name);
        match draft.place(service, may_be_its_own) {
            Ok(without_table) => {
                placed.extend(keys);
                errors.extend(without_table);
            }
            Err(error) => {
                errors.push(error);
                skipped.insert(&service.name);
                skipped_keys.extend(keys);
            }
        }
    }

    let programmed_keys = programmed.services.keys();
    let mut gone: Vec<ServiceKey<F::Addr>> = match scope {
        Scope::All => programmed_keys
            .filter(|key| match owners.of(key) {
                Some(owner) => !skipped.contains(owner),
                None => !skipped_keys.contains(key),
            })
            .copied()
            .collect(),
        Scope::Changed => desired
            .iter()
            .filter(|service| !skipped.contains(&service.name))
            .flat_map(|service| owners.keys(&service.name))
            .filter(|key| programmed.services.contains_key(key))
            .collect(),
    };
    gone.retain(|key| !placed.contains(key));
    gone.sort_unstable();

    let is_programmed = |key: &ServiceKey<F::Addr>| programmed.services.contains_key(key);
    for service in desired {
        let keys = service.frontends.iter().map(|frontend| frontend.key);
        if skipped.contains(&service.name) {
            owners.adopt(&service.name, keys.filter(is_programmed));
        } else {
            owners.replace(&service.name, keys, is_programmed);
        }
    }
    let cleared = draft.clearable();
    let mut ops = draft.into_ops();
    ops.extend(gone.into_iter().map(|key| Op::DeleteService { key }));
    ops.extend(cleared.into_iter().map(|id| Op::ClearBackend { id }));
    Plan { ops, errors }
}

/// Which Service a frontend in the maps belongs to: the last that wanted it. The maps do not know.
#[derive(Clone, Debug)]
pub(super) struct Owners<F: Family> {
    owner: HashMap<ServiceKey<F::Addr>, NamespacedName>,
    keys: HashMap<NamespacedName, BTreeSet<ServiceKey<F::Addr>>>,
}

impl<F: Family> Default for Owners<F> {
    fn default() -> Self {
        Self {
            owner: HashMap::default(),
            keys: HashMap::default(),
        }
    }
}

impl<F: Family> Owners<F> {
    /// The frontend was deleted.
    pub(super) fn forget(&mut self, key: &ServiceKey<F::Addr>) {
        if let Some(owner) = self.owner.remove(key)
            && let Some(keys) = self.keys.get_mut(&owner)
        {
            keys.remove(key);
            if keys.is_empty() {
                self.keys.remove(&owner);
            }
        }
    }

    fn of(&self, key: &ServiceKey<F::Addr>) -> Option<&NamespacedName> {
        self.owner.get(key)
    }

    fn keys(&self, service: &NamespacedName) -> impl Iterator<Item = ServiceKey<F::Addr>> {
        self.keys.get(service).into_iter().flatten().copied()
    }

    /// The Service wants these frontends. Others that it had are its own until they are no longer programmed: their
    /// deletion may fail and be planned again.
    fn replace(
        &mut self,
        service: &NamespacedName,
        wanted: impl Iterator<Item = ServiceKey<F::Addr>>,
        is_programmed: impl Fn(&ServiceKey<F::Addr>) -> bool,
    ) {
        let old: Vec<_> = self.keys(service).filter(|key| !is_programmed(key)).collect();
        for key in &old {
            self.forget(key);
        }
        for key in wanted {
            if self.of(&key) != Some(service) {
                self.forget(&key);
                self.insert(key, service);
            }
        }
    }

    /// The Service keeps what it had before a restart.
    fn adopt(&mut self, service: &NamespacedName, had: impl Iterator<Item = ServiceKey<F::Addr>>) {
        for key in had {
            if self.of(&key).is_none() {
                self.insert(key, service);
            }
        }
    }

    fn insert(&mut self, key: ServiceKey<F::Addr>, service: &NamespacedName) {
        self.owner.insert(key, service.clone());
        self.keys.entry(service.clone()).or_default().insert(key);
    }
}
