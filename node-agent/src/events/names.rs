//! Which Service a frontend is of.

use std::{
    collections::{BTreeSet, HashMap},
    net::IpAddr,
    sync::Arc,
};

use kpr_abi::{Event, V4, V6};

use super::told::address;
use crate::model::{Index, IpFamily, NamespacedName, NodeFacts};

/// Address, port and protocol.
type Key = (IpAddr, u16, u8);

/// The frontends of this node, by what clients ask for.
#[derive(Clone, Debug, Default)]
pub struct Names(HashMap<Key, (NamespacedName, Arc<str>)>);

impl Names {
    /// Learns of every Service.
    pub fn learn_all(&mut self, index: &Index, facts: &NodeFacts) {
        self.0.clear();
        let all: BTreeSet<NamespacedName> = index.services().map(|service| service.name.clone()).collect();
        self.add(index, facts, &all);
    }

    /// Learns of Services that have changed.
    pub fn learn(&mut self, index: &Index, facts: &NodeFacts, changed: &BTreeSet<NamespacedName>) {
        self.0.retain(|_, (service, _)| !changed.contains(service));
        self.add(index, facts, changed);
    }

    fn add(&mut self, index: &Index, facts: &NodeFacts, services: &BTreeSet<NamespacedName>) {
        for name in services {
            self.add_family::<V4>(index, facts, name);
            self.add_family::<V6>(index, facts, name);
        }
    }

    fn add_family<F: IpFamily>(&mut self, index: &Index, facts: &NodeFacts, name: &NamespacedName) {
        for frontend in index.service::<F>(name, facts).frontends {
            let addr: F::Ip = frontend.key.addr.into();
            let key = (addr.into(), frontend.key.port.host(), frontend.key.proto);
            let shown = frontend.port.to_string().into();
            self.0.insert(key, (name.clone(), shown));
        }
    }

    /// The Service's port that an event is about.
    pub fn of(&self, event: &Event) -> Option<&str> {
        self.find(
            address(event.family, event.frontend),
            event.frontend_port.host(),
            event.proto,
        )
    }

    /// The Service's port of exactly this frontend, or of one on any address of the node.
    pub fn find(&self, addr: IpAddr, port: u16, proto: u8) -> Option<&str> {
        let any = match addr {
            IpAddr::V4(_) => IpAddr::from([0_u8; 4]),
            IpAddr::V6(_) => IpAddr::from([0_u8; 16]),
        };
        let found = self
            .0
            .get(&(addr, port, proto))
            .or_else(|| self.0.get(&(any, port, proto)));
        found.map(|(_, shown)| &**shown)
    }

    #[cfg(test)]
    pub(super) fn with(key: Key, name: &str) -> Self {
        let service = NamespacedName::new("default", "web");
        Self([(key, (service, name.into()))].into())
    }
}
