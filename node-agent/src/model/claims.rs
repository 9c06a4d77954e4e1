//! Who has a destination that several Services name.
//!
//! kube-proxy leaves this undefined (the first rule that matches); a map has room for one. Here a cluster IP stays with
//! the Service that the API server gave it to: no other can take it by naming it as its own external IP
//! (CVE-2020-8554), and a Pod's hostPort takes nothing from a Service. Else the older Service wins. Every node decides alike, whatever the order of events was.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    Kinds, NamespacedName,
    destinations::{Destination, Named},
    few::Few,
    input::{Pod, Service},
};
use crate::hash::HashMap;
use crate::model::Kind;

/// A Service's claim to a destination. Ordered: the least claim wins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    rank: Rank,
    /// A Service without creation time (no API server sends one) yields to every other.
    undated: bool,
    created: Option<Timestamp>,
    pub(super) service: NamespacedName,
    pub(super) kind: Kind,
    /// Index into the Service's ports, or the Pod's hostPorts.
    pub(super) port: usize,
}

/// Whose claims come first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// A cluster IP.
    Given,
    /// An address that the Service's owner may have chosen, or a NodePort.
    Chosen,
    /// A Pod's hostPort.
    Pod,
}

/// Who claims destinations.
#[derive(Clone, Copy, Debug)]
pub(super) struct Claimant<'a> {
    pub(super) name: &'a NamespacedName,
    pub(super) created: Option<Timestamp>,
}

impl<'a> From<&'a Service> for Claimant<'a> {
    fn from(service: &'a Service) -> Self {
        Self {
            name: &service.name,
            created: service.created,
        }
    }
}

impl<'a> From<&'a Pod> for Claimant<'a> {
    fn from(pod: &'a Pod) -> Self {
        Self {
            name: &pod.name,
            created: pod.created,
        }
    }
}

/// All claims, by destination.
#[derive(Debug, Default)]
pub(super) struct Claims {
    by_destination: HashMap<Destination, Few<Claim>>,
}

impl Claims {
    /// Enters claims; others that name the same destinations are added to `rivals`.
    pub(super) fn insert(&mut self, claimant: Claimant<'_>, named: &[Named], rivals: &mut BTreeSet<NamespacedName>) {
        for name in named {
            let claims = self.by_destination.entry(name.destination).or_default();
            claims.insert(Claim::of(claimant, name));
            add_rivals(claims, claimant.name, rivals);
        }
    }

    /// Drops claims; others that named the same destinations are added to `rivals`.
    pub(super) fn remove(&mut self, claimant: Claimant<'_>, named: &[Named], rivals: &mut BTreeSet<NamespacedName>) {
        for name in named {
            let Some(claims) = self.by_destination.get_mut(&name.destination) else {
                continue;
            };
            claims.remove(&Claim::of(claimant, name));
            add_rivals(claims, claimant.name, rivals);
            if claims.is_empty() {
                self.by_destination.remove(&name.destination);
            }
        }
    }

    /// Who has each destination, among the kinds that this node serves.
    pub(super) fn winners(&self, kinds: Kinds) -> impl Iterator<Item = (&Destination, &Claim)> {
        let claimed = self.by_destination.iter();
        claimed.filter_map(move |(destination, claims)| {
            let winner = claims.iter().find(|claim| kinds.serves(claim.kind))?;
            Some((destination, winner))
        })
    }

    /// Who has the destination, among the kinds that this node serves.
    pub(super) fn winner(&self, destination: &Destination, kinds: Kinds) -> Option<&Claim> {
        let claims = self.by_destination.get(destination)?;
        claims.iter().find(|claim| kinds.serves(claim.kind))
    }
}

impl Claim {
    fn of(claimant: Claimant<'_>, named: &Named) -> Self {
        Self {
            rank: match named.kind {
                Kind::ClusterIp => Rank::Given,
                Kind::NodePort | Kind::LoadBalancer | Kind::ExternalIp => Rank::Chosen,
                Kind::HostPort => Rank::Pod,
            },
            undated: claimant.created.is_none(),
            created: claimant.created,
            service: claimant.name.clone(),
            kind: named.kind,
            port: named.port,
        }
    }
}

fn add_rivals(claims: &Few<Claim>, service: &NamespacedName, rivals: &mut BTreeSet<NamespacedName>) {
    let others = claims.iter().filter(|claim| claim.service != *service);
    rivals.extend(others.map(|claim| claim.service.clone()));
}
