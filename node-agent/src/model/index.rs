//! What is known of the cluster, and which Services need another look.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    net::SocketAddr,
};

use super::{
    DesiredService, HealthCheck, IpFamily, NamespacedName, NodeFacts, Protocol,
    addresses::Addresses,
    build::Context,
    claims::Claims,
    destinations::destinations,
    input::{Endpoint, EndpointSlice, Service, ServiceInput, ServicePort, SliceInput, SlicePort},
};

/// Services and EndpointSlices as last seen, and the Services that changes since the last
/// [`take_dirty`](Self::take_dirty) concern. The order of events does not matter, only the last state of each object.
#[derive(Debug, Default)]
pub struct Index {
    services: BTreeMap<NamespacedName, Service>,
    /// Those of them that have a health check port.
    health_checked: BTreeSet<NamespacedName>,
    /// Slices by Service, then by their own name.
    slices: HashMap<NamespacedName, BTreeMap<NamespacedName, EndpointSlice>>,
    /// The Service that each slice belongs to.
    service_of: HashMap<NamespacedName, NamespacedName>,
    claims: Claims,
    addresses: Addresses,
    dirty: BTreeSet<NamespacedName>,
}

impl Index {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A Service was added or changed.
    pub fn apply_service(&mut self, input: ServiceInput) {
        let service = match input {
            ServiceInput::Proxied(service) => service,
            ServiceInput::Ignored { name, .. } => return self.delete_service(&name),
        };
        if self.services.get(&service.name) == Some(&service) {
            return;
        }
        self.delete_service(&service.name);
        self.claims.insert(&service, &destinations(&service), &mut self.dirty);
        self.dirty.insert(service.name.clone());
        if service.health_check_node_port.is_some() {
            self.health_checked.insert(service.name.clone());
        }
        self.services.insert(service.name.clone(), service);
    }

    /// A Service is gone.
    pub fn delete_service(&mut self, name: &NamespacedName) {
        if let Some(service) = self.services.remove(name) {
            self.claims.remove(&service, &destinations(&service), &mut self.dirty);
            self.health_checked.remove(name);
            self.dirty.insert(service.name);
        }
    }

    /// An EndpointSlice was added or changed.
    pub fn apply_slice(&mut self, input: SliceInput) {
        let slice = match input {
            SliceInput::Used(slice) => slice,
            SliceInput::Ignored { name, .. } => return self.delete_slice(&name),
        };
        let known = self
            .slices
            .get(&slice.service)
            .and_then(|slices| slices.get(&slice.name));
        if known == Some(&slice) {
            return;
        }
        self.delete_slice(&slice.name);
        self.addresses.insert(&slice, &mut self.dirty);
        self.dirty.insert(slice.service.clone());
        self.service_of.insert(slice.name.clone(), slice.service.clone());
        let slices = self.slices.entry(slice.service.clone()).or_default();
        slices.insert(slice.name.clone(), slice);
    }

    /// An EndpointSlice is gone.
    pub fn delete_slice(&mut self, name: &NamespacedName) {
        let Some(service) = self.service_of.remove(name) else {
            return;
        };
        if let Some(slices) = self.slices.get_mut(&service) {
            if let Some(slice) = slices.remove(name) {
                self.addresses.remove(&slice, &mut self.dirty);
            }
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        self.dirty.insert(service);
    }

    /// All Services were listed anew: what is not among them is gone.
    pub fn replace_services(&mut self, all: impl IntoIterator<Item = ServiceInput>) {
        let mut gone: HashSet<NamespacedName> = self.services.keys().cloned().collect();
        for input in all {
            gone.remove(input.name());
            self.apply_service(input);
        }
        for name in &gone {
            self.delete_service(name);
        }
    }

    /// All EndpointSlices were listed anew: what is not among them is gone.
    pub fn replace_slices(&mut self, all: impl IntoIterator<Item = SliceInput>) {
        let mut gone: HashSet<NamespacedName> = self.service_of.keys().cloned().collect();
        for input in all {
            gone.remove(input.name());
            self.apply_slice(input);
        }
        for name in &gone {
            self.delete_slice(name);
        }
    }

    /// Facts about the node changed: every Service needs another look.
    pub fn touch_all(&mut self) {
        self.dirty.extend(self.services.keys().cloned());
    }

    /// The Services that changed since the last call, directly or because another Service's change concerns them.
    /// Deleted ones are among them: [`service`](Self::service) then has no frontends.
    pub fn take_dirty(&mut self) -> BTreeSet<NamespacedName> {
        std::mem::take(&mut self.dirty)
    }

    /// Whether [`take_dirty`](Self::take_dirty) would return anything.
    pub fn is_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// What a Service asks of this node in a family.
    pub fn service<F: IpFamily>(&self, name: &NamespacedName, node: &NodeFacts) -> DesiredService<F> {
        match self.services.get(name) {
            Some(service) => {
                let slices = self.slices.get(name).into_iter().flat_map(BTreeMap::values);
                self.context(node).service(service, &slices)
            }
            None => DesiredService {
                name: name.clone(),
                frontends: Vec::new(),
                problems: Vec::new(),
            },
        }
    }

    /// What all Services ask of this node in a family, ordered by name.
    pub fn desired<F: IpFamily>(&self, node: &NodeFacts) -> Vec<DesiredService<F>> {
        self.services.keys().map(|name| self.service(name, node)).collect()
    }

    /// The health checks that load balancers may ask of this node, ordered by the Service's name. None where LoadBalancer
    /// Services are left to kube-proxy, which then has their ports.
    pub fn health_checks(&self, node: &NodeFacts) -> Vec<HealthCheck> {
        let names = self.health_checked.iter().filter(|_| node.kinds.load_balancer);
        names
            .filter_map(|name| {
                let slices = self.slices.get(name).into_iter().flat_map(BTreeMap::values);
                HealthCheck::of(self.services.get(name)?, slices, &node.name)
            })
            .collect()
    }

    /// The Services that are served, ordered by name.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// Endpoints of the Services' ports of a protocol that answer, on whatever node and of either family: ready ones, and
    /// those that serve while they terminate. Traffic policies and topology have no say: they are about new flows.
    pub fn serving(&self, protocol: Protocol) -> impl Iterator<Item = SocketAddr> {
        self.endpoints(protocol, |endpoint| endpoint.serving || endpoint.is_usable())
    }

    /// All endpoints of the Services' ports of a protocol, whether they answer or not: who is not among them is gone.
    pub fn present(&self, protocol: Protocol) -> impl Iterator<Item = SocketAddr> {
        self.endpoints(protocol, |_| true)
    }

    fn endpoints(
        &self,
        protocol: Protocol,
        which: impl Fn(&Endpoint) -> bool + Copy,
    ) -> impl Iterator<Item = SocketAddr> {
        let with_port = move |service: &&Service| service.ports.iter().any(|port| port.protocol == protocol);
        let services = self.services.values().filter(with_port);
        services.flat_map(move |service| {
            let slices = self.slices.get(&service.name).into_iter().flat_map(BTreeMap::values);
            slices.flat_map(move |slice| {
                let offered = move |port: &&SlicePort| {
                    let same = |own: &ServicePort| own.name == port.name && own.protocol == port.protocol;
                    port.protocol == protocol && service.ports.iter().any(same)
                };
                slice.ports.iter().filter(offered).flat_map(move |port| {
                    let endpoints = slice.endpoints.iter().filter(move |endpoint| which(endpoint));
                    endpoints.map(|endpoint| SocketAddr::new(endpoint.addr, port.port))
                })
            })
        })
    }

    fn context<'a>(&'a self, node: &'a NodeFacts) -> Context<'a> {
        Context {
            claims: &self.claims,
            addresses: &self.addresses,
            node,
        }
    }
}
