//! Which Service ports are counted: those that are counted already, then others by their names, up to a limit.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    sync::Arc,
};

use kpr_abi::service_count::FRONTENDS;

use crate::{
    datapath,
    hash::HashSet,
    model::{DesiredService, IpFamily, NamespacedName, Protocol, ServicePortName},
    plan::Scope,
};

/// How many there are.
const FAMILIES: usize = 2;

/// A Service port that is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CountedPort {
    /// Its name.
    pub name: ServicePortName,
    /// Its protocol. Ports of a Service have different names, but those of a Pod may have none.
    pub protocol: Protocol,
    /// Its frontends, of both families.
    pub frontends: Vec<SocketAddr>,
}

/// What is counted on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CountedPorts {
    /// In the order of their names.
    pub ports: Vec<CountedPort>,
    /// How many others there are.
    pub left_out: usize,
}

impl CountedPorts {
    /// Every frontend.
    pub fn frontends(&self) -> Vec<(SocketAddr, Protocol)> {
        let of = |port: &CountedPort| {
            let protocol = port.protocol;
            let frontends = port.frontends.clone();
            frontends.into_iter().map(move |address| (address, protocol))
        };
        self.ports.iter().flat_map(of).collect()
    }
}

/// The Service ports that there are, and which of them are counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// Most that are counted; none: nothing is.
    limit: Option<usize>,
    services: BTreeMap<NamespacedName, Ports>,
    /// The frontends that were counted before, by an earlier agent: their ports are counted already.
    before: HashSet<(SocketAddr, Protocol)>,
    /// The families of which it is known what there is. Until it is of all, what is counted goes on.
    learned: BTreeSet<&'static str>,
    /// Since they were last chosen.
    changed: bool,
    chosen: Option<Arc<CountedPorts>>,
}

/// The ports of a Service, in the order of their names.
type Ports = BTreeMap<(Arc<str>, Protocol), Port>;

#[derive(Debug, Default, PartialEq, Eq)]
struct Port {
    /// By family.
    frontends: BTreeMap<&'static str, BTreeSet<SocketAddr>>,
    is_counted: bool,
}

impl Counted {
    /// Counts at most so many from now on; none: nothing. `before`: the frontends that are counted, if that begins. Whether every Service
    /// must be [learned](Self::learn) anew.
    pub(super) fn limit(&mut self, limit: Option<usize>, before: impl FnOnce() -> Vec<(SocketAddr, Protocol)>) -> bool {
        if limit == self.limit {
            return false;
        }
        let begins = self.limit.is_none();
        self.limit = limit;
        self.changed = true;
        if begins {
            self.before = before().into_iter().collect();
            self.learned.clear();
        }
        if limit.is_none() {
            self.services.clear();
        }
        begins
    }

    /// What a family's frontends are of the Services that were looked at.
    pub(super) fn learn<F: IpFamily>(&mut self, scope: Scope, services: &[DesiredService<F>]) {
        if self.limit.is_none() {
            return;
        }
        self.learned.insert(F::NAME);
        if scope == Scope::All {
            // Who is not among all Services is gone.
            let present: BTreeSet<_> = services.iter().map(|service| &service.name).collect();
            let gone = self.services.keys().filter(|name| !present.contains(name));
            for name in gone.cloned().collect::<Vec<_>>() {
                self.replace(F::NAME, &name, BTreeMap::new());
            }
        }
        for service in services {
            let mut ports: BTreeMap<_, BTreeSet<SocketAddr>> = BTreeMap::new();
            for frontend in &service.frontends {
                if let Some((address, protocol)) = datapath::frontend::<F>(&frontend.key) {
                    let name = (Arc::clone(&frontend.port.port), protocol);
                    ports.entry(name).or_default().insert(address);
                }
            }
            self.replace(F::NAME, &service.name, ports);
        }
    }

    fn replace(
        &mut self,
        family: &'static str,
        service: &NamespacedName,
        new: BTreeMap<(Arc<str>, Protocol), BTreeSet<SocketAddr>>,
    ) {
        let mut ports = self.services.remove(service).unwrap_or_default();
        for (name, port) in &mut ports {
            if !new.contains_key(name) {
                self.changed |= port.frontends.remove(family).is_some();
            }
        }
        for (name, frontends) in new {
            let protocol = name.1;
            let port = ports.entry(name).or_default();
            port.is_counted |= frontends
                .iter()
                .any(|frontend| self.before.contains(&(*frontend, protocol)));
            if port.frontends.get(family) != Some(&frontends) {
                port.frontends.insert(family, frontends);
                self.changed = true;
            }
        }
        ports.retain(|_, port| !port.frontends.is_empty());
        if !ports.is_empty() {
            self.services.insert(service.clone(), ports);
        }
    }

    /// What is to be counted from now on, if that is something else than before.
    pub(super) fn choose(&mut self) -> Option<Arc<CountedPorts>> {
        let waits = self.limit.is_some() && self.learned.len() < FAMILIES;
        if waits || !std::mem::take(&mut self.changed) {
            return None;
        }
        // From here on, ports themselves say whether they are counted.
        self.before.clear();
        let mut room = Room::of(self.limit.unwrap_or_default());
        let ports = || self.services.values().flat_map(BTreeMap::values);
        let left_out = ports().count();
        // Those that are counted already first.
        for first in [true, false] {
            for port in self.services.values_mut().flat_map(BTreeMap::values_mut) {
                if port.is_counted == first {
                    port.is_counted = room.takes(port);
                }
            }
        }
        let ports = self.services.iter().flat_map(|(service, ports)| {
            let counted = ports.iter().filter(|(_, port)| port.is_counted);
            counted.map(|((name, protocol), port)| CountedPort {
                name: ServicePortName {
                    service: service.clone(),
                    port: Arc::clone(name),
                },
                protocol: *protocol,
                frontends: port.frontends.values().flatten().copied().collect(),
            })
        });
        let ports: Vec<_> = ports.collect();
        let chosen = Arc::new(CountedPorts {
            left_out: left_out - ports.len(),
            ports,
        });
        self.chosen = self.limit.is_some().then(|| Arc::clone(&chosen));
        Some(chosen)
    }

    /// What was last chosen could not be told to the programs: it is to be chosen again.
    pub(super) fn try_again(&mut self) {
        self.changed = true;
    }

    /// What was last chosen; none if nothing is to be counted.
    pub(super) fn chosen(&self) -> Option<Arc<CountedPorts>> {
        self.chosen.clone()
    }
}

/// Room that is left for Service ports, and for their frontends by family.
struct Room {
    ports: usize,
    frontends: BTreeMap<&'static str, usize>,
}

impl Room {
    fn of(ports: usize) -> Self {
        Self {
            ports,
            frontends: BTreeMap::new(),
        }
    }

    /// Takes the room that a port needs, if there is as much.
    fn takes(&mut self, port: &Port) -> bool {
        let left = |family| self.frontends.get(family).copied().unwrap_or(FRONTENDS as usize);
        let fits = |(family, frontends): (&&'static str, &BTreeSet<_>)| frontends.len() <= left(*family);
        if self.ports == 0 || !port.frontends.iter().all(fits) {
            return false;
        }
        self.ports -= 1;
        for (family, frontends) in &port.frontends {
            *self.frontends.entry(family).or_insert(FRONTENDS as usize) -= frontends.len();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use kpr_abi::{V4, V6};

    use super::*;
    use crate::model::{Index, NodeFacts, tests::fixtures::svc};

    /// What these Services want of a family.
    fn wanted<F: IpFamily>(services: &[&str]) -> Vec<DesiredService<F>> {
        let mut index = Index::new();
        for (n, name) in services.iter().enumerate() {
            let (v4, v6) = (format!("10.96.0.{}", n + 1), format!("fd00::{}", n + 1));
            index.apply_service(svc(name).cluster_ips(&[&v4, &v6]).parse());
        }
        index.desired(&NodeFacts::new("node-a"))
    }

    fn names(chosen: Option<Arc<CountedPorts>>) -> Vec<String> {
        let ports = chosen.expect("something changed");
        let names = ports.ports.iter().map(|port| port.name.service.name.to_string());
        names.collect()
    }

    fn counting(limit: usize, services: &[&str]) -> Counted {
        let mut counted = Counted::default();
        assert!(counted.limit(Some(limit), Vec::new), "it must learn of all");
        counted.learn::<V6>(Scope::All, &[]);
        counted.learn::<V4>(Scope::All, &wanted(services));
        counted
    }

    #[test]
    fn nothing_is_chosen_while_nobody_asks() {
        let mut counted = Counted::default();
        counted.learn::<V4>(Scope::All, &wanted(&["a"]));
        assert_eq!(counted.choose(), None);
        assert_eq!(counted.chosen(), None);
    }

    #[test]
    fn a_port_of_two_families_is_one() {
        let mut counted = counting(2, &["a", "b", "c"]);
        counted.learn::<V6>(Scope::All, &wanted(&["a", "b", "c"]));
        let chosen = counted.choose().expect("something changed");
        assert_eq!((chosen.ports.len(), chosen.left_out), (2, 1));
        assert_eq!(chosen.frontends().len(), 4, "{chosen:?}");
        assert_eq!(counted.chosen(), Some(chosen));
    }

    #[test]
    fn what_is_counted_stays_and_others_wait_for_room() {
        let mut counted = counting(2, &["m", "n"]);
        assert_eq!(names(counted.choose()), ["m", "n"]);
        counted.learn::<V4>(Scope::All, &wanted(&["m", "n", "a"]));
        assert_eq!(
            names(counted.choose()),
            ["m", "n"],
            "`a` comes first by name, but later"
        );
        counted.learn::<V4>(Scope::All, &wanted(&["a", "n"]));
        assert_eq!(names(counted.choose()), ["a", "n"]);
        assert!(!counted.limit(Some(1), Vec::new));
        assert_eq!(names(counted.choose()), ["a"]);
    }

    #[test]
    fn what_an_earlier_agent_had_counted_stays() {
        let mut counted = Counted::default();
        // The second one's.
        let before = || vec![("10.96.0.2:80".parse().expect("an address"), Protocol::Tcp)];
        assert!(counted.limit(Some(1), before));
        assert_eq!(counted.choose(), None, "nothing is known yet");
        counted.learn::<V6>(Scope::All, &[]);
        assert_eq!(counted.choose(), None, "nor of the other family");
        counted.learn::<V4>(Scope::All, &wanted(&["a", "b"]));
        assert_eq!(names(counted.choose()), ["b"]);
        counted.learn::<V4>(Scope::All, &wanted(&["a"]));
        assert_eq!(names(counted.choose()), ["a"]);
    }

    #[test]
    fn the_same_again_is_no_change() {
        let mut counted = counting(2, &["a"]);
        assert!(counted.choose().is_some());
        counted.learn::<V4>(Scope::All, &wanted(&["a"]));
        assert_eq!(counted.choose(), None);
        counted.try_again();
        assert_eq!(names(counted.choose()), ["a"]);
    }

    #[test]
    fn nothing_is_left_when_counting_ends() {
        let mut counted = counting(2, &["a"]);
        assert!(counted.choose().is_some());
        assert!(!counted.limit(None, Vec::new));
        assert_eq!(names(counted.choose()), [""; 0]);
        assert_eq!(counted.chosen(), None);
        assert!(counted.limit(Some(2), Vec::new), "what there is must be learned again");
    }

    #[test]
    fn a_port_whose_frontends_do_not_fit_is_left_out() {
        let mut room = Room::of(10);
        let port = |frontends: u16| Port {
            frontends: [(
                "IPv4",
                (1..=frontends)
                    .map(|port| SocketAddr::from(([10, 96, 0, 1], port)))
                    .collect(),
            )]
            .into(),
            is_counted: false,
        };
        assert!(room.takes(&port(16_000)));
        assert!(!room.takes(&port(385)));
        assert!(room.takes(&port(384)));
        assert!(!room.takes(&port(1)));
    }
}
