//! Changes, failed writes, grace periods and restarts at random, against simulated maps.

use std::collections::{BTreeMap, BTreeSet};

use kpr_abi::{ServiceKey, V4, V6, backend::flags};
use proptest::prelude::*;

use super::{
    fixtures::{Numbered, ROOMY, Variations, deleted, name, service},
    simulator::{Answer, Maps, admitted, answer, assert_holds},
};
use crate::{
    model::{DesiredService, Frontend, NamespacedName},
    plan::{AdmittedRange, Generation, Limits, Op, Plan, PlanError, Planner, Programmed, RestoreProblem, Scope},
};

#[derive(Clone, Debug)]
enum Event {
    /// Services change or go, and the plan is carried out up to a failing write.
    Change(Vec<(u8, Wanted)>, Option<usize>),
    /// A grace period begins.
    Seal,
    /// It is over.
    Release,
    /// The agent is killed and starts anew.
    Restart,
}

#[derive(Clone, Debug)]
enum Wanted {
    Gone,
    /// Backends, those of them that are local, NodePort 30080 (many ask, one has it), and some flags. The NodePort has Maglev tables by
    /// one of the flags.
    Service(BTreeSet<u8>, u8, bool, u8),
}

fn event() -> impl Strategy<Value = Event> {
    let backends = prop::collection::btree_set(1_u8..8, 0..6);
    let wanted = prop_oneof![
        1 => Just(Wanted::Gone),
        5 => (backends, any::<u8>(), any::<bool>(), 0_u8..8).prop_map(|(b, l, n, f)| Wanted::Service(b, l, n, f)),
    ];
    let changes = prop::collection::vec((1_u8..5, wanted), 1..4);
    let failure = prop_oneof![2 => Just(None), 1 => (0_usize..8).prop_map(Some)];
    prop_oneof![
        6 => (changes, failure).prop_map(|(changes, failure)| Event::Change(changes, failure)),
        2 => Just(Event::Seal),
        2 => Just(Event::Release),
        1 => Just(Event::Restart),
    ]
}

/// What the model would ask for: as [`Wanted`], with the NodePort given to the first that asks, and backend flags that
/// all services agree on.
fn desired<F: Numbered>(wanted: &BTreeMap<u8, Wanted>) -> BTreeMap<u8, DesiredService<F>> {
    let draining: u8 = wanted
        .values()
        .map(|w| if let Wanted::Service(.., f) = w { *f } else { 0 })
        .sum();
    let mut node_port = Some(30080);
    let mut services = BTreeMap::new();
    for (&n, wanted) in wanted {
        let Wanted::Service(backends, local, asks_node_port, flags) = wanted else {
            continue;
        };
        let backends: Vec<u8> = backends.iter().copied().collect();
        let local: Vec<u8> = backends.iter().copied().filter(|n| local & (1 << n) != 0).collect();
        let mut service = service::<F>(n, &backends).local(&local);
        if *asks_node_port && let Some(port) = node_port.take() {
            service = service.and_node_port(port);
        }
        if flags & 4 != 0 {
            service = service.by_maglev();
        }
        let flags = &(flags & 3);
        for frontend in &mut service.frontends {
            frontend.affinity_seconds = u32::from(*flags) * 60;
        }
        let last_octet = |ip: F::Ip| match ip.into() {
            std::net::IpAddr::V4(ip) => ip.octets()[3],
            std::net::IpAddr::V6(ip) => ip.octets()[15],
        };
        let nets: &[u8] = [&[][..], &[1], &[1, 2], &[2, 3]][usize::from(*flags)];
        let ranges: Vec<_> = nets.iter().map(|&net| (F::ip(net, 0), 32)).collect();
        let service = service.from(&ranges);
        services.insert(
            n,
            service.backends(|b| b.terminating = last_octet(b.addr) == draining % 8),
        );
    }
    services
}

struct Agent<F: Numbered> {
    planner: Planner<F>,
    maps: Maps<F>,
    wanted: BTreeMap<u8, Wanted>,
    desired: BTreeMap<u8, DesiredService<F>>,
    /// To be planned again: not carried out whole, or without room.
    pending: BTreeSet<u8>,
    /// Sealed generation, and when.
    sealed: Option<(Generation, u64)>,
}

impl<F: Numbered> Agent<F> {
    fn new(limits: Limits) -> Self {
        Self {
            planner: Planner::new(limits),
            maps: Maps::new(limits),
            wanted: BTreeMap::new(),
            desired: BTreeMap::new(),
            pending: BTreeSet::new(),
            sealed: None,
        }
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Change(changes, failure) => self.change(changes, *failure),
            Event::Seal if self.sealed.is_none() => {
                self.sealed = self.planner.seal().map(|generation| (generation, self.maps.now()));
            }
            Event::Seal => {}
            Event::Release => self.release(),
            Event::Restart => self.restart(),
        }
    }

    fn change(&mut self, changes: &[(u8, Wanted)], failure: Option<usize>) {
        self.wanted.extend(changes.iter().cloned());
        let desired = desired::<F>(&self.wanted);
        for n in 1..5 {
            if desired.get(&n) != self.desired.get(&n) {
                self.pending.insert(n);
            }
        }
        self.desired = desired;
        self.carry_out(Scope::Changed, failure);
    }

    fn release(&mut self) {
        if let Some((generation, then)) = self.sealed.take() {
            self.maps.readers_end(then);
            self.planner.release(generation);
        }
        // Also without changes: what was released is cleared, and what did not fit gets another chance.
        self.carry_out(Scope::Changed, None);
    }

    fn restart(&mut self) {
        // As the contract of `restore` says.
        self.maps.readers_end(self.maps.now());
        let before = snapshot(self.planner.programmed());
        let limits = self.planner.programmed().limits();
        let (planner, problems) = self.restored(limits);
        assert_eq!(
            problems,
            [],
            "what we wrote does not contradict itself, whenever the agent is killed"
        );
        assert_eq!(snapshot(planner.programmed()), before);
        self.planner = planner;
        self.sealed = None;
        let was_pending = !self.pending.is_empty();
        self.pending = self.desired.keys().copied().collect();
        let plan = self.carry_out(Scope::All, None);
        if !was_pending {
            let writes = |op: &Op<F>| !matches!(op, Op::ClearBackend { .. } | Op::DeleteRange { .. });
            assert!(!plan.ops.iter().any(writes), "a restart writes nothing: {:?}", plan.ops);
        }
    }

    fn restored(&self, limits: Limits) -> (Planner<F>, Vec<RestoreProblem<F>>) {
        let Maps { slots, ranges, .. } = &self.maps;
        let ranges = ranges.iter().copied();
        Planner::restore(limits, self.maps.entries(), slots, self.maps.table(), ranges)
    }

    /// Plans what is pending, carries it out up to a failing write, and looks at every service after every write.
    fn carry_out(&mut self, scope: Scope, failure: Option<usize>) -> Plan<F> {
        let batch: Vec<_> = self
            .pending
            .iter()
            .map(|&n| self.desired.get(&n).cloned().unwrap_or_else(|| deleted(n)))
            .collect();
        let plan = self.planner.plan(scope, &batch);
        let of = |errors: &[&PlanError]| errors.iter().map(|error| error.service().clone()).collect();
        let (served, refused): (Vec<_>, Vec<_>) = plan.errors.iter().partition(|error| error.is_served());
        // Those that do without a table are tried again as well.
        let (served, refused): (BTreeSet<NamespacedName>, BTreeSet<NamespacedName>) = (of(&served), of(&refused));

        let before = self.maps.clone();
        self.maps.readers_start();
        for (i, op) in plan.ops.iter().enumerate() {
            if failure == Some(i) {
                return plan;
            }
            self.maps.apply(op);
            self.planner.record(op);
            self.check_prefix(&before, &batch, &refused);
            self.maps.readers_start();
        }
        for op in self.planner.gone() {
            self.maps.apply(&op);
            self.planner.record(&op);
        }
        self.maps.check_readers();
        self.check_gone(&before);
        self.pending
            .retain(|&n| refused.contains(&name(n)) || served.contains(&name(n)));
        self.check_end(&before, &served);
        plan
    }

    /// Each service leads to its old backends or to its new ones.
    fn check_prefix(&mut self, before: &Maps<F>, batch: &[DesiredService<F>], refused: &BTreeSet<NamespacedName>) {
        self.maps.check_readers();
        let keys: BTreeSet<_> = before.services.keys().chain(self.maps.services.keys()).collect();
        for key in keys {
            let now = self.maps.look_up(key);
            let mut allowed: Vec<Option<Answer<F>>> = vec![before.look_up(key)];
            let wanted = batch
                .iter()
                .flat_map(|service| service.frontends.iter().map(move |f| (service, f)));
            match wanted.clone().find(|(_, frontend)| frontend.key == *key) {
                Some((service, frontend)) if !refused.contains(&service.name) => allowed.push(Some(answer(frontend))),
                // Given up by one service, and the other has no room for it.
                _ => allowed.push(None),
            }
            assert!(
                allowed.contains(&now),
                "{key:?} leads to {now:?}, not to one of {allowed:?}"
            );
            let wanted = wanted.clone().find(|(_, frontend)| frontend.key == *key);
            self.check_clients(before, key, wanted.map(|(_, frontend)| frontend));
        }
    }

    /// Who was let in and is to be is never refused; who was not and is not to be is never let in.
    fn check_clients(&self, before: &Maps<F>, key: &ServiceKey<F::Addr>, wanted: Option<&Frontend<F>>) {
        let (Some(now), then) = (self.maps.admits(key), before.admits(key)) else {
            return;
        };
        let wanted = wanted.map(admitted);
        let (Some(then), Some(wanted)) = (then.or(wanted), wanted.or(then)) else {
            return;
        };
        for ((now, then), wanted) in now.into_iter().zip(then).zip(wanted) {
            assert!(now == then || now == wanted, "{key:?}: {:?}", self.maps.ranges);
        }
    }

    /// What services led to before, and no longer do, says so or is cleared; nothing else does.
    fn check_gone(&self, before: &Maps<F>) {
        let (then, now) = (before.led_to(), self.maps.led_to());
        for (id, value) in self.maps.table().filter(|(_, value)| value.proto != 0) {
            let is_gone = value.flags & flags::GONE != 0;
            assert!(
                !(is_gone && now.contains(&id)),
                "a service leads to backend {id}, which is gone"
            );
            let was_left = then.contains(&id) && !now.contains(&id);
            assert!(is_gone || !was_left, "no service leads to backend {id} any more");
        }
    }

    fn check_end(&self, before: &Maps<F>, served: &BTreeSet<NamespacedName>) {
        if self.pending.is_empty() {
            assert_holds(&self.maps, &self.desired.values().cloned().collect::<Vec<_>>());
        }
        // Who has no room keeps what it had.
        for n in self.pending.iter().filter(|&&n| !served.contains(&name(n))) {
            let key = super::fixtures::key::<F>(*n);
            assert_eq!(self.maps.look_up(&key), before.look_up(&key));
        }
    }

    /// Everything settles: no failures, all readers gone. In small maps, what is released in one round makes room for
    /// the next.
    fn settle(&mut self) {
        for _ in 0..20 {
            self.release();
            self.sealed = self.planner.seal().map(|generation| (generation, self.maps.now()));
            if self.sealed.is_none() {
                return;
            }
        }
        panic!("services wait for each other");
    }
}

type Snapshot<F> = (
    BTreeSet<AdmittedRange<<F as kpr_abi::Family>::Addr>>,
    BTreeMap<kpr_abi::ServiceKey<<F as kpr_abi::Family>::Addr>, (kpr_abi::ServiceValue, Vec<u32>, Vec<u32>)>,
    BTreeMap<u32, kpr_abi::BackendValue<<F as kpr_abi::Family>::Addr>>,
);

fn snapshot<F: Numbered>(programmed: &Programmed<F>) -> Snapshot<F> {
    let service = |(&key, &value): (&_, &kpr_abi::ServiceValue)| {
        let slots = |slice| programmed.slots(slice).to_vec();
        (key, (value, slots(value.cluster), slots(value.local)))
    };
    let backends = programmed.backends().map(|(id, value)| (id, *value));
    (
        programmed.source_ranges().collect(),
        programmed.services().map(service).collect(),
        backends.collect(),
    )
}

fn run<F: Numbered>(limits: Limits, events: &[Event]) {
    let mut agent = Agent::<F>::new(limits);
    for event in events {
        agent.happen(event);
    }
    agent.settle();
    let services: BTreeSet<_> = agent.desired.values().flat_map(|s| &s.frontends).map(answer).collect();
    let backends: BTreeSet<_> = services
        .iter()
        .flat_map(|(cluster, local)| cluster.iter().chain(local))
        .collect();
    if agent.pending.is_empty() {
        let usage = agent.planner.programmed().usage();
        assert_eq!(
            usage.backends as usize,
            backends.len(),
            "what nothing leads to is cleared"
        );
        let frontends = agent.desired.values().flat_map(|s| &s.frontends);
        let lists: BTreeSet<_> = frontends
            .flat_map(|frontend| {
                let (cluster, local) = answer(frontend);
                let table = |list: &Vec<_>| frontend.maglev.filter(|_| list.len() > 1);
                [cluster, local].map(|list| (table(&list), list))
            })
            .collect();
        let ranges = agent.desired.values().flat_map(|s| &s.frontends);
        assert_eq!(
            usage.source_ranges as usize,
            ranges.map(|frontend| frontend.source_ranges.len()).sum::<usize>(),
            "no range is left"
        );
        assert_eq!(
            usage.slots as usize,
            lists
                .iter()
                .map(|(table, list)| list.len() + table.map_or(0, |size| size.slots() as usize))
                .sum::<usize>(),
            "and one run per list"
        );
        agent.restart();
        let all: Vec<_> = agent.desired.values().cloned().collect();
        assert!(agent.planner.plan(Scope::All, &all).is_empty(), "nothing left to do");
    } else {
        assert_ne!(limits, ROOMY, "there was room for all");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_prefix_leaves_each_service_on_old_or_new_backends(events in prop::collection::vec(event(), 1..40)) {
        run::<V4>(ROOMY, &events);
        run::<V6>(ROOMY, &events);
    }

    #[test]
    fn so_it_does_when_the_maps_are_too_small(
        events in prop::collection::vec(event(), 1..40),
        (services, slots, backends, source_ranges) in
            (1_u32..6, prop_oneof![1_u32..20, 250_u32..800], 2_u32..9, 0_u32..9),
    ) {
        run::<V4>(Limits { services, slots, backends, source_ranges }, &events);
    }
}
