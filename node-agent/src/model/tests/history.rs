//! Whatever happened, only the last state of each object counts.

use std::collections::BTreeMap;

use kpr_abi::{V4, V6};
use proptest::prelude::*;

use super::fixtures::{self, Slice, Svc, ep, named, node, slice, svc};
use crate::model::{DesiredService, Index, IpFamily, NamespacedName, NodeFacts};

#[derive(Clone, Debug)]
enum Event {
    Service(u8, Shape),
    DeleteService(u8),
    Slice(u8, u8, Vec<Pod>),
    DeleteSlice(u8),
    /// A pod of this node with address 10.244.0.n, or what its bits say.
    HostPorts(u8, Shape),
    DeletePod(u8),
    /// All lists are read anew; what a watch missed is seen.
    Relist,
}

/// Which of a Service's features are used, as bits: small, so that Services collide.
#[derive(Clone, Copy, Debug)]
struct Shape {
    bits: u8,
    day: i8,
}

#[derive(Clone, Copy, Debug)]
struct Pod {
    n: u8,
    v6: bool,
    here: bool,
    state: u8,
}

fn service(n: u8, shape: Shape) -> Svc {
    let on = |bit: u8| shape.bits & (1 << bit) != 0;
    let (v4, v6) = (format!("10.96.0.{n}"), format!("fd00:96::{n}"));
    let ips: &[&str] = match (on(0), on(1)) {
        (false, false) => &["None"],
        (true, false) => &[&v4],
        (false, true) => &[&v6],
        (true, true) => &[&v6, &v4],
    };
    let mut service = svc(&format!("s{n}")).created(shape.day).cluster_ips(ips);
    if on(2) {
        service = service.node_port(30080);
    }
    if on(3) {
        service = service.external_ips(&["203.0.113.1", "2001:db8::1"]);
    }
    if on(4) {
        service = service.load_balancer_ip("203.0.113.1");
    }
    if on(5) {
        service = service.external_local();
    }
    if on(6) {
        service = service.internal_local();
    }
    service
}

fn endpoints(n: u8, of: u8, pods: &[Pod], v6: bool) -> Slice {
    let pods = pods.iter().filter(|pod| pod.v6 == v6).map(|pod| {
        let addr = if v6 {
            format!("fd00:244::{}", pod.n)
        } else {
            format!("10.244.0.{}", pod.n)
        };
        let endpoint = ep(&addr).on(if pod.here { "node-a" } else { "node-b" });
        match pod.state {
            0 => endpoint.draining(),
            1 => endpoint.unready(),
            2 => endpoint.for_zones(&["zone-1"]),
            _ => endpoint,
        }
    });
    let (name, kind) = if v6 {
        (format!("e{n}-6"), "IPv6")
    } else {
        (format!("e{n}-4"), "IPv4")
    };
    slice(&name, &format!("s{of}")).address_type(kind).with(pods)
}

/// A pod that may have the address of an endpoint, and a port that may be a NodePort.
fn host_ports(n: u8, shape: Shape) -> fixtures::Pod {
    let on = |bit: u8| shape.bits & (1 << bit) != 0;
    let port = if on(0) { 30080 } else { 8000 };
    let mut pod = fixtures::pod(&format!("p{n}")).created(shape.day.unsigned_abs());
    pod = if on(1) {
        pod.host_port_at("192.168.49.2", port)
    } else {
        pod.host_port(port)
    };
    if on(2) {
        pod = pod.terminating();
    }
    if on(3) && on(4) {
        pod = pod.set("/status/phase", serde_json::json!("Failed"));
    }
    pod.addresses(&[&format!("10.244.0.{n}"), &format!("fd00:244::{n}")])
}

fn event() -> impl Strategy<Value = Event> {
    let shape = (any::<u8>(), 1_i8..4).prop_map(|(bits, day)| Shape { bits, day });
    let pod = (1_u8..6, any::<bool>(), any::<bool>(), 0_u8..5);
    let pod = pod.prop_map(|(n, v6, here, state)| Pod { n, v6, here, state });
    prop_oneof![
        4 => (1_u8..5, shape.clone()).prop_map(|(n, shape)| Event::Service(n, shape)),
        1 => (1_u8..5).prop_map(Event::DeleteService),
        6 => (1_u8..5, 1_u8..5, prop::collection::vec(pod, 0..5)).prop_map(|(n, of, pods)| Event::Slice(n, of, pods)),
        1 => (1_u8..5).prop_map(Event::DeleteSlice),
        3 => (1_u8..5, shape).prop_map(|(n, shape)| Event::HostPorts(n, shape)),
        1 => (1_u8..5).prop_map(Event::DeletePod),
        1 => Just(Event::Relist),
    ]
}

/// The API server's view: what exists now.
#[derive(Default)]
struct Objects {
    services: BTreeMap<u8, Svc>,
    slices: BTreeMap<(u8, bool), Slice>,
    pods: BTreeMap<u8, fixtures::Pod>,
}

impl Objects {
    fn happen(&mut self, event: &Event, index: &mut Index) {
        match event {
            Event::Service(n, shape) => {
                let service = service(*n, *shape);
                index.apply_service(service.parse());
                self.services.insert(*n, service);
            }
            Event::DeleteService(n) => {
                self.services.remove(n);
                index.delete_service(&named(&format!("s{n}")));
            }
            Event::Slice(n, of, pods) => {
                for v6 in [false, true] {
                    let slice = endpoints(*n, *of, pods, v6);
                    index.apply_slice(slice.parse());
                    self.slices.insert((*n, v6), slice);
                }
            }
            Event::DeleteSlice(n) => {
                for (v6, suffix) in [(false, 4), (true, 6)] {
                    self.slices.remove(&(*n, v6));
                    index.delete_slice(&named(&format!("e{n}-{suffix}")));
                }
            }
            Event::HostPorts(n, shape) => {
                let pod = host_ports(*n, *shape);
                index.apply_pod(pod.parse());
                self.pods.insert(*n, pod);
            }
            Event::DeletePod(n) => {
                self.pods.remove(n);
                index.delete_pod(&NamespacedName::of_pod(&named(&format!("p{n}"))));
            }
            Event::Relist => {
                index.replace_pods(self.pods.values().map(fixtures::Pod::parse));
                index.replace_services(self.services.values().map(Svc::parse));
                index.replace_slices(self.slices.values().map(Slice::parse));
            }
        }
    }

    fn listed(&self) -> Index {
        let mut index = Index::new();
        index.replace_pods(self.pods.values().map(fixtures::Pod::parse));
        index.replace_slices(self.slices.values().map(Slice::parse));
        index.replace_services(self.services.values().map(Svc::parse));
        index
    }
}

type Seen<F> = BTreeMap<NamespacedName, DesiredService<F>>;

fn all<F: IpFamily>(index: &Index, node: &NodeFacts) -> Seen<F> {
    let desired = index.desired(node).into_iter();
    desired.map(|service| (service.name.clone(), service)).collect()
}

/// Follows an index by its dirty Services only, as the agent does.
fn follow<F: IpFamily>(seen: &mut Seen<F>, index: &Index, dirty: &[NamespacedName], node: &NodeFacts) {
    for name in dirty {
        let service = index.service(name, node);
        if index.services().any(|s| s.name == *name) || index.has_pod(name) {
            seen.insert(name.clone(), service);
        } else {
            assert_eq!(service.frontends.len(), 0);
            seen.remove(name);
        }
    }
}

proptest! {
    #[test]
    fn a_random_history_asks_for_what_its_last_objects_ask_for(events in prop::collection::vec(event(), 1..60)) {
        let facts = node().facts;
        let mut index = Index::new();
        let mut objects = Objects::default();
        let (mut seen4, mut seen6) = (Seen::<V4>::new(), Seen::<V6>::new());
        for event in &events {
            objects.happen(event, &mut index);
            let dirty: Vec<_> = index.take_dirty().into_iter().collect();
            follow(&mut seen4, &index, &dirty, &facts);
            follow(&mut seen6, &index, &dirty, &facts);
            let listed = objects.listed();
            prop_assert_eq!(&seen4, &all(&listed, &facts), "after {:?}", event);
            prop_assert_eq!(&seen6, &all(&listed, &facts), "after {:?}", event);
        }
    }

    #[test]
    fn a_relist_after_missed_events_is_as_good_as_having_seen_them(
        events in prop::collection::vec((event(), any::<bool>()), 1..60)
    ) {
        let facts = node().facts;
        let mut index = Index::new();
        let mut objects = Objects::default();
        for (event, missed) in &events {
            let mut blind = Index::new();
            objects.happen(event, if *missed { &mut blind } else { &mut index });
        }
        objects.happen(&Event::Relist, &mut index);
        prop_assert_eq!(all::<V4>(&index, &facts), all(&objects.listed(), &facts));
        prop_assert_eq!(all::<V6>(&index, &facts), all(&objects.listed(), &facts));
    }

    #[test]
    fn backends_of_a_frontend_are_of_its_family_and_no_frontend_is_served_twice(
        events in prop::collection::vec(event(), 1..40)
    ) {
        let facts = node().facts;
        let mut objects = Objects::default();
        let mut index = Index::new();
        for event in &events {
            objects.happen(event, &mut index);
        }
        let desired = index.desired::<V4>(&facts);
        let frontends = desired.iter().flat_map(|service| &service.frontends);
        let mut keys: Vec<_> = frontends.clone().map(|frontend| frontend.key).collect();
        let served = keys.len();
        keys.sort_unstable();
        keys.dedup();
        prop_assert_eq!(keys.len(), served);
        for frontend in frontends {
            for backend in frontend.cluster.iter().chain(frontend.local.iter()) {
                prop_assert_eq!(backend.addr.octets()[..2].to_vec(), vec![10, 244], "the pods' IPv4 range");
            }
        }
    }
}
