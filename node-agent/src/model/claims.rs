//! Who has a destination that several Services name.
//!
//! kube-proxy leaves this undefined (the first rule that matches); a map has room for one. Here a cluster IP stays with
//! the Service that the API server gave it to: no other can take it by naming it as its own external IP
//! (CVE-2020-8554). Else the older Service wins. Every node decides alike, whatever the order of events was.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;

use super::{
    Kinds, NamespacedName,
    destinations::{Destination, Named},
    input::Service,
};
use crate::model::Kind;

/// A Service's claim to a destination. Ordered: the least claim wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    /// Not a cluster IP, but an address that the Service's owner may have chosen.
    chosen: bool,
    /// A Service without creation time (no API server sends one) yields to every other.
    undated: bool,
    created: Option<Timestamp>,
    pub(super) service: NamespacedName,
    pub(super) kind: Kind,
    /// Index into the Service's ports.
    pub(super) port: usize,
}

/// All claims, by destination.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_destination: HashMap<Destination, BTreeSet<Claim>>,
}

impl Claims {
    /// Enters a Service's claims; Services that name the same destinations are added to `rivals`.
    pub(super) fn insert(&mut self, service: &Service, named: &[Named], rivals: &mut BTreeSet<NamespacedName>) {
        for name in named {
            let claims = self.by_destination.entry(name.destination).or_default();
            claims.insert(Claim::of(service, name));
            add_rivals(claims, &service.name, rivals);
        }
    }

    /// Drops a Service's claims; Services that named the same destinations are added to `rivals`.
    pub(super) fn remove(&mut self, service: &Service, named: &[Named], rivals: &mut BTreeSet<NamespacedName>) {
        for name in named {
            let Some(claims) = self.by_destination.get_mut(&name.destination) else {
                continue;
            };
            claims.remove(&Claim::of(service, name));
            add_rivals(claims, &service.name, rivals);
            if claims.is_empty() {
                self.by_destination.remove(&name.destination);
            }
        }
    }

    /// Who has the destination, among the kinds that this node serves.
    pub(super) fn winner(&self, destination: &Destination, kinds: Kinds) -> Option<&Claim> {
        let claims = self.by_destination.get(destination)?;
        claims.iter().find(|claim| kinds.serves(claim.kind))
    }
}

impl Claim {
    fn of(service: &Service, named: &Named) -> Self {
        Self {
            chosen: named.kind.is_external(),
            undated: service.created.is_none(),
            created: service.created,
            service: service.name.clone(),
            kind: named.kind,
            port: named.port,
        }
    }
}

fn add_rivals(claims: &BTreeSet<Claim>, service: &NamespacedName, rivals: &mut BTreeSet<NamespacedName>) {
    let others = claims.iter().filter(|claim| claim.service != *service);
    rivals.extend(others.map(|claim| claim.service.clone()));
}
