//! What is known of the cluster, and which Services need another look.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    DesiredService, HealthCheck, IpFamily, Kinds, NamespacedName, NodeFacts, Owner, Protocol,
    addresses::{Addresses, mentions, pod_mentions},
    build::Context,
    claims::Claims,
    destinations::destinations,
    host_ports,
    input::{Endpoint, EndpointSlice, Pod, PodInput, Service, ServiceInput, ServicePort, SliceInput, SlicePort},
    pool::Pool,
};
use crate::hash::{HashMap, HashSet};

/// Services, EndpointSlices and this node's Pods with hostPorts as last seen, and the Services (and Pods) that changes since the last
/// [`take_dirty`](Self::take_dirty) concern. The order of events does not matter, only the last state of each object.
#[derive(Debug, Default)]
pub struct Index {
    services: BTreeMap<NamespacedName, Service>,
    /// Those of them that have a health check port.
    health_checked: BTreeSet<NamespacedName>,
    /// Those of them that restrict LoadBalancer IPs to source ranges.
    ranged: BTreeSet<NamespacedName>,
    /// Those of them that have a port of SCTP.
    sctp: BTreeSet<NamespacedName>,
    /// Those of them that have a port of UDP.
    udp: BTreeSet<NamespacedName>,
    /// Pods with hostPorts, by [`NamespacedName::of_pod`].
    pods: BTreeMap<NamespacedName, Pod>,
    /// Addresses of all Pods that run here, by the same names.
    pod_addresses: BTreeMap<NamespacedName, Vec<IpAddr>>,
    /// Slices by Service, ordered by their own name.
    slices: HashMap<NamespacedName, Vec<EndpointSlice>>,
    /// The Service that each slice belongs to.
    service_of: HashMap<NamespacedName, NamespacedName>,
    claims: Claims,
    addresses: Addresses,
    texts: Pool,
    dirty: BTreeSet<NamespacedName>,
}

impl Index {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A Service was added or changed.
    pub fn apply_service(&mut self, input: ServiceInput) {
        let mut service = match input {
            ServiceInput::Proxied(service) => service,
            ServiceInput::Ignored { name, .. } => return self.delete_service(&name),
        };
        if self.services.get(&service.name) == Some(&service) {
            return;
        }
        self.delete_service(&service.name);
        self.share_name(&mut service.name);
        for port in &mut service.ports {
            self.texts.share(&mut port.name);
        }
        self.claims
            .insert((&service).into(), &destinations(&service), &mut self.dirty);
        self.dirty.insert(service.name.clone());
        if service.health_check_node_port.is_some() {
            self.health_checked.insert(service.name.clone());
        }
        if !service.source_ranges.is_empty() && !service.load_balancer_ips.is_empty() {
            self.ranged.insert(service.name.clone());
        }
        for (protocol, names) in [(Protocol::Sctp, &mut self.sctp), (Protocol::Udp, &mut self.udp)] {
            if service.ports.iter().any(|port| port.protocol == protocol) {
                names.insert(service.name.clone());
            }
        }
        self.services.insert(service.name.clone(), service);
    }

    /// A Service is gone.
    pub fn delete_service(&mut self, name: &NamespacedName) {
        if let Some(service) = self.services.remove(name) {
            self.claims
                .remove((&service).into(), &destinations(&service), &mut self.dirty);
            self.health_checked.remove(name);
            self.ranged.remove(name);
            self.sctp.remove(name);
            self.udp.remove(name);
            self.dirty.insert(service.name);
        }
    }

    /// An EndpointSlice was added or changed. Whether that changes what is known.
    pub fn apply_slice(&mut self, input: SliceInput) -> bool {
        let mut slice = match input {
            SliceInput::Used(slice) => slice,
            SliceInput::Ignored { name, .. } => return self.delete_slice(&name),
        };
        // A slice that says the same for another reason is the same.
        slice.triggered = None;
        let known = self.slices.get(&slice.service);
        if known.is_some_and(|slices| place_of(slices, &slice.name).is_ok_and(|place| slices[place] == slice)) {
            return false;
        }
        self.delete_slice(&slice.name);
        self.share_texts(&mut slice);
        self.addresses.insert(mentions(&slice), &mut self.dirty);
        self.dirty.insert(slice.service.clone());
        self.service_of.insert(slice.name.clone(), slice.service.clone());
        let slices = self.slices.entry(slice.service.clone()).or_default();
        let place = place_of(slices, &slice.name).unwrap_or_else(|place| place);
        // Most Services have one.
        slices.reserve_exact(1);
        slices.insert(place, slice);
        true
    }

    /// An EndpointSlice is gone. Whether it was known.
    pub fn delete_slice(&mut self, name: &NamespacedName) -> bool {
        let Some(service) = self.service_of.remove(name) else {
            return false;
        };
        if let Some(slices) = self.slices.get_mut(&service) {
            if let Ok(place) = place_of(slices, name) {
                let slice = slices.remove(place);
                self.addresses.remove(mentions(&slice), &mut self.dirty);
            }
            if slices.is_empty() {
                self.slices.remove(&service);
            }
        }
        self.dirty.insert(service);
        true
    }

    /// A Pod of this node was added or changed.
    pub fn apply_pod(&mut self, input: PodInput) {
        if input.addresses().is_empty() {
            self.pod_addresses.remove(input.name());
        } else {
            self.pod_addresses
                .insert(input.name().clone(), input.addresses().to_vec());
        }
        let pod = match input {
            PodInput::Served(pod) => pod,
            PodInput::Ignored { name, .. } => return self.serve_no_longer(&name),
        };
        if self.pods.get(&pod.name) == Some(&pod) {
            return;
        }
        self.serve_no_longer(&pod.name);
        self.claims
            .insert((&pod).into(), &host_ports::destinations(&pod), &mut self.dirty);
        self.addresses.insert(pod_mentions(&pod), &mut self.dirty);
        self.dirty.insert(pod.name.clone());
        self.pods.insert(pod.name.clone(), pod);
    }

    /// A Pod of this node is gone. `name`: as [`NamespacedName::of_pod`] makes it.
    pub fn delete_pod(&mut self, name: &NamespacedName) {
        self.pod_addresses.remove(name);
        self.serve_no_longer(name);
    }

    /// The hostPorts of a Pod are gone.
    fn serve_no_longer(&mut self, name: &NamespacedName) {
        if let Some(pod) = self.pods.remove(name) {
            self.claims
                .remove((&pod).into(), &host_ports::destinations(&pod), &mut self.dirty);
            self.addresses.remove(pod_mentions(&pod), &mut self.dirty);
            self.dirty.insert(pod.name);
        }
    }

    /// All Pods of this node were listed anew: what is not among them is gone.
    pub fn replace_pods(&mut self, all: impl IntoIterator<Item = PodInput>) {
        let known = self.pods.keys().chain(self.pod_addresses.keys());
        let mut gone: HashSet<NamespacedName> = known.cloned().collect();
        for input in all {
            gone.remove(input.name());
            self.apply_pod(input);
        }
        for name in &gone {
            self.delete_pod(name);
        }
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
        self.dirty.extend(self.services.keys().chain(self.pods.keys()).cloned());
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

    /// What a Service, or a Pod, asks of this node in a family.
    pub fn service<F: IpFamily>(&self, name: &NamespacedName, node: &NodeFacts) -> DesiredService<F> {
        match (self.services.get(name), self.pods.get(name)) {
            (Some(service), _) => {
                let slices = self.slices.get(name).into_iter().flatten();
                self.context(node).service(service, &slices)
            }
            (None, Some(pod)) => self.context(node).pod(pod),
            (None, None) => DesiredService {
                name: name.clone(),
                frontends: Vec::new(),
                problems: Vec::new(),
            },
        }
    }

    /// What all Services, and then all Pods, ask of this node in a family, ordered by name.
    pub fn desired<F: IpFamily>(&self, node: &NodeFacts) -> Vec<DesiredService<F>> {
        let names = self.services.keys().chain(self.pods.keys());
        names.map(|name| self.service(name, node)).collect()
    }

    /// The addresses of a Pod that runs on this node. `name`: as [`NamespacedName::of_pod`] makes it.
    pub fn pod_addresses(&self, name: &NamespacedName) -> &[IpAddr] {
        self.pod_addresses.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether it knows a Pod with hostPorts. `name`: as [`NamespacedName::of_pod`] makes it.
    #[cfg(test)]
    pub(super) fn has_pod(&self, name: &NamespacedName) -> bool {
        self.pods.contains_key(name)
    }

    /// Whether LoadBalancer IPs that are served are restricted to source ranges.
    pub fn has_source_ranges(&self, node: &NodeFacts) -> bool {
        node.kinds.load_balancer && node.capabilities.source_ranges && !self.ranged.is_empty()
    }

    /// Whether Services have ports of SCTP that may be served.
    pub fn has_sctp(&self, node: &NodeFacts) -> bool {
        node.capabilities.sctp && !self.sctp.is_empty()
    }

    /// The health checks that load balancers may ask of this node, ordered by the Service's name. None where LoadBalancer
    /// Services are left to kube-proxy, which then has their ports.
    pub fn health_checks(&self, node: &NodeFacts) -> Vec<HealthCheck> {
        let names = self.health_checked.iter().filter(|_| node.kinds.load_balancer);
        names
            .filter_map(|name| {
                let slices = self.slices.get(name).into_iter().flatten();
                HealthCheck::of(self.services.get(name)?, slices, &node.name)
            })
            .collect()
    }

    /// Whose each frontend is, among the kinds that this node serves, in no order.
    pub fn owners(&self, kinds: Kinds) -> impl Iterator<Item = Owner> {
        let winners = self.claims.winners(kinds);
        winners.filter_map(|(destination, claim)| {
            let service = self.services.get(&claim.service);
            Owner::new(destination, claim, service, self.pods.get(&claim.service))
        })
    }

    /// Where a port of a Service's endpoints is, by the node that they are on; of several on one node, or of several addresses, the first.
    pub fn endpoints_by_node(&self, service: &NamespacedName, port: &str) -> BTreeMap<Arc<str>, SocketAddr> {
        let mut found = BTreeMap::new();
        for slice in self.slices.get(service).into_iter().flatten() {
            let Some(port) = slice.ports.iter().find(|own| &*own.name == port) else {
                continue;
            };
            for endpoint in &slice.endpoints {
                if let Some(node) = &endpoint.node {
                    let address = SocketAddr::new(endpoint.addr, port.port);
                    found.entry(Arc::clone(node)).or_insert(address);
                }
            }
        }
        found
    }

    /// The nodes that endpoints are on.
    pub fn endpoint_nodes(&self) -> BTreeSet<&Arc<str>> {
        let slices = self.slices.values().flatten();
        slices
            .flat_map(|slice| slice.endpoints.iter().filter_map(|endpoint| endpoint.node.as_ref()))
            .collect()
    }

    /// The Services that are served, ordered by name.
    pub fn services(&self) -> impl ExactSizeIterator<Item = &Service> {
        self.services.values()
    }

    /// Endpoints of the Services' UDP ports that answer, on whatever node and of either family: ready ones, and
    /// those that serve while they terminate; and Pods with hostPorts. Traffic policies and topology have no say: they are about new flows.
    pub fn serving_udp(&self) -> impl Iterator<Item = SocketAddr> {
        self.serving_udp_of(self.udp.iter().chain(self.pods.keys()))
    }

    /// The same, of some Services or Pods.
    pub fn serving_udp_of<'a>(
        &'a self,
        names: impl Iterator<Item = &'a NamespacedName>,
    ) -> impl Iterator<Item = SocketAddr> {
        self.endpoints(names, Protocol::Udp, |endpoint| {
            endpoint.serving || endpoint.is_usable()
        })
    }

    /// All endpoints of the Services' TCP ports, whether they answer or not: who is not among them is gone.
    pub fn present_tcp(&self) -> impl Iterator<Item = SocketAddr> {
        self.present_tcp_of(self.services.keys().chain(self.pods.keys()))
    }

    /// The same, of some Services or Pods.
    pub fn present_tcp_of<'a>(
        &'a self,
        names: impl Iterator<Item = &'a NamespacedName>,
    ) -> impl Iterator<Item = SocketAddr> {
        self.endpoints(names, Protocol::Tcp, |_| true)
    }

    fn endpoints<'a>(
        &'a self,
        names: impl Iterator<Item = &'a NamespacedName>,
        protocol: Protocol,
        which: impl Fn(&Endpoint) -> bool + Copy,
    ) -> impl Iterator<Item = SocketAddr> {
        names.flat_map(move |name| {
            let service = self.services.get(name).into_iter();
            let pod = self.pods.get(name).into_iter();
            let of_service = service.flat_map(move |service| self.endpoints_of(service, protocol, which));
            of_service.chain(pod.flat_map(move |pod| targets(pod, protocol)))
        })
    }

    fn endpoints_of(
        &self,
        service: &Service,
        protocol: Protocol,
        which: impl Fn(&Endpoint) -> bool + Copy,
    ) -> impl Iterator<Item = SocketAddr> {
        let slices = self.slices.get(&service.name).into_iter().flatten();
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
    }

    fn share_name(&mut self, name: &mut NamespacedName) {
        self.texts.share(&mut name.namespace);
        self.texts.share(&mut name.name);
    }

    fn share_texts(&mut self, slice: &mut EndpointSlice) {
        self.texts.share(&mut slice.name.namespace);
        self.share_name(&mut slice.service);
        for port in &mut slice.ports {
            self.texts.share(&mut port.name);
        }
        for endpoint in &mut slice.endpoints {
            let hints = endpoint.hints.iter_mut();
            let hints = hints.flat_map(|hints| hints.zones.iter_mut().chain(&mut hints.nodes));
            hints.chain(&mut endpoint.node).for_each(|text| self.texts.share(text));
        }
    }

    fn context<'a>(&'a self, node: &'a NodeFacts) -> Context<'a> {
        Context {
            claims: &self.claims,
            addresses: &self.addresses,
            node,
        }
    }
}

/// Where a Pod's hostPorts of a protocol lead.
fn targets(pod: &Pod, protocol: Protocol) -> impl Iterator<Item = SocketAddr> {
    let ports = pod.host_ports.iter().filter(move |port| port.protocol == protocol);
    ports.flat_map(|port| pod.addresses.iter().map(|&addr| SocketAddr::new(addr, port.target)))
}

/// Where a slice is among those of its Service, or belongs.
fn place_of(slices: &[EndpointSlice], name: &NamespacedName) -> Result<usize, usize> {
    slices.binary_search_by(|slice| slice.name.cmp(name))
}
