//! What is known about an endpoint's address and port, over all Services and hostPorts.
//!
//! Services that select one pod share its backend entry, so its flags must not depend on which of them was looked at
//! last: while controllers catch up, one slice may say "terminating" and another not yet.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::{
    NamespacedName, NodeFacts, Protocol,
    few::Few,
    input::{Endpoint, EndpointSlice, Pod},
};
use crate::hash::HashMap;

/// Address, port and protocol of a backend, of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Socket {
    pub(super) addr: IpAddr,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
}

/// What an EndpointSlice says about a [`Socket`], or the Pod itself that has it as the target of a hostPort.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mention {
    /// All mentions of a slice share it.
    source: Arc<Source>,
    node: Option<Arc<str>>,
    draining: bool,
}

/// Who mentions endpoints, and for whom.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Source {
    slice: NamespacedName,
    service: NamespacedName,
}

/// Every usable endpoint that any EndpointSlice mentions.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    by_socket: HashMap<Socket, Few<Mention>>,
}

/// Facts about a [`Socket`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) local: bool,
    pub(super) terminating: bool,
    /// Its node is another one, and takes encapsulated packets.
    pub(super) dsr: bool,
}

impl Addresses {
    /// Enters what a slice or a Pod says; others that have the same endpoints are added to `sharers`.
    pub(super) fn insert(
        &mut self,
        said: impl Iterator<Item = (Socket, Mention)>,
        sharers: &mut BTreeSet<NamespacedName>,
    ) {
        for (socket, mention) in said {
            let mentions = self.by_socket.entry(socket).or_default();
            add_sharers(mentions, &mention.source.service, sharers);
            mentions.insert(mention);
        }
    }

    /// Drops what a slice or a Pod said; others that have the same endpoints are added to `sharers`.
    pub(super) fn remove(
        &mut self,
        said: impl Iterator<Item = (Socket, Mention)>,
        sharers: &mut BTreeSet<NamespacedName>,
    ) {
        for (socket, mention) in said {
            let Some(mentions) = self.by_socket.get_mut(&socket) else {
                continue;
            };
            mentions.remove(&mention);
            add_sharers(mentions, &mention.source.service, sharers);
            if mentions.is_empty() {
                self.by_socket.remove(&socket);
            }
        }
    }

    /// Facts about an endpoint, seen from a node. As within one Service, who is there to stay outweighs who goes: an
    /// address may be given to a new pod before the old one is gone.
    pub(super) fn facts(&self, socket: &Socket, node: &NodeFacts) -> Facts {
        let mentions = self.by_socket.get(socket);
        let terminating = mentions.is_some_and(|m| m.iter().all(|mention| mention.draining));
        let relevant = mentions.into_iter().flatten().filter(|m| m.draining == terminating);
        let local = relevant
            .clone()
            .any(|mention| mention.node.as_ref() == Some(&node.name));
        let takes = |node_of: &Option<Arc<str>>| {
            let takers = node.dsr_takers.as_ref();
            node_of
                .as_ref()
                .is_some_and(|name| takers.is_some_and(|takers| takers.contains(name)))
        };
        Facts {
            local,
            terminating,
            dsr: !local && relevant.clone().next().is_some() && relevant.clone().all(|mention| takes(&mention.node)),
        }
    }
}

/// What a Pod says of the targets of its hostPorts.
pub(super) fn pod_mentions(pod: &Pod) -> impl Iterator<Item = (Socket, Mention)> + '_ {
    let source = Arc::new(Source {
        slice: pod.name.clone(),
        service: pod.name.clone(),
    });
    pod.addresses.iter().flat_map(move |&addr| {
        let source = Arc::clone(&source);
        pod.host_ports.iter().map(move |port| {
            let socket = Socket {
                addr,
                port: port.target,
                protocol: port.protocol,
            };
            let mention = Mention {
                source: Arc::clone(&source),
                node: pod.node.clone(),
                draining: pod.terminating,
            };
            (socket, mention)
        })
    })
}

/// What a slice says of its endpoints.
pub(super) fn mentions(slice: &EndpointSlice) -> impl Iterator<Item = (Socket, Mention)> + '_ {
    let source = Arc::new(Source {
        slice: slice.name.clone(),
        service: slice.service.clone(),
    });
    let usable = slice.endpoints.iter().filter(|endpoint| endpoint.is_usable());
    usable.flat_map(move |endpoint: &Endpoint| {
        let source = Arc::clone(&source);
        slice.ports.iter().map(move |port| {
            let socket = Socket {
                addr: endpoint.addr,
                port: port.port,
                protocol: port.protocol,
            };
            let mention = Mention {
                source: Arc::clone(&source),
                node: endpoint.node.clone(),
                draining: endpoint.is_draining(),
            };
            (socket, mention)
        })
    })
}

fn add_sharers(mentions: &Few<Mention>, service: &NamespacedName, sharers: &mut BTreeSet<NamespacedName>) {
    let others = mentions.iter().filter(|mention| mention.source.service != *service);
    sharers.extend(others.map(|mention| mention.source.service.clone()));
}
