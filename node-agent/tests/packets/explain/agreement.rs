//! A thousand packets by chance, each explained and then sent through the programs of the node.

use super::{
    random::Random,
    state,
    world::{self, Service},
};
use crate::{
    families::Net,
    rig::{Rig, SNAT, settings},
};
use kpr_abi::{Reason, V4, V6, flow::action};
use kpr_node_agent::datapath::{Choice, Dsr, Explainer, PacketStory, Probe, Settings, Side, Verdict};
use std::{collections::BTreeSet, net::SocketAddr};

/// Packets of each family on each node.
const PACKETS: usize = 125;
/// Runs after which every backend was chosen that may be: the one with the most connections of four is 1 in 16 times.
const RUNS: usize = 400;

#[test]
fn a_thousand_packets_are_explained_as_they_are_handled_and_nothing_changes() {
    let nodes = [
        settings(),
        Settings {
            dsr: Dsr::All,
            ..settings()
        },
        Settings {
            least_connections: true,
            count_services: true,
            ..settings()
        },
        Settings {
            dsr: Dsr::Tcp,
            events: Some(1 << 16),
            count_services: true,
            ..settings()
        },
    ];
    let mut seen = Seen::default();
    for (seed, settings) in (1..).zip(nodes) {
        let mut node = Node::new(&settings, seed);
        node.run::<V4>(&mut seen);
        node.run::<V6>(&mut seen);
    }
    assert_eq!(seen.packets, 1_000);
    // What the packets must have met for this to say anything.
    for reason in [
        Reason::FlowToLocal,
        Reason::FlowToRemote,
        Reason::FlowToRemoteDsr,
        Reason::RefuseNoEndpoint,
        Reason::DropNoLocalEndpoint,
        Reason::DropSourceRange,
        Reason::PassMidFlow,
        Reason::PassNoEndpoint,
    ] {
        assert!(seen.reasons.contains(&reason), "no packet met {}", reason.name());
    }
    println!("{seen:?}");
    assert!(
        seen.affinity > 5 && seen.maglev > 5 && seen.chance > 20 && seen.known > 50 && seen.foreign > 50,
        "{seen:?}"
    );
}

/// What the packets met.
#[derive(Debug, Default)]
struct Seen {
    packets: usize,
    reasons: BTreeSet<Reason>,
    affinity: u32,
    maglev: u32,
    chance: u32,
    known: u32,
    foreign: u32,
    runs: usize,
}

struct Node {
    rig: Rig,
    explainer: Explainer,
    random: Random,
    pod: u32,
}

impl Node {
    fn new(settings: &Settings, seed: u64) -> Self {
        let rig = Rig::with(&Settings {
            sizes: kpr_node_agent::datapath::Sizes {
                slots: 1 << 15,
                ..settings.sizes
            },
            ..settings.clone()
        });
        let explainer = Explainer::open(&rig.options.bpffs_root)
            .unwrap()
            .expect("a datapath is pinned");
        Self {
            rig,
            explainer,
            random: Random::new(seed),
            pod: nix::net::if_::if_nametoindex("pod").unwrap(),
        }
    }

    fn run<F: Net>(&mut self, seen: &mut Seen) {
        let mut services = world::services::<F>(&mut self.rig, &mut self.random);
        let mut answers = Vec::new();
        let (side, probe) = world::packet::<F>(&mut self.random, &services, &answers);
        let before = state::all(&self.rig);
        self.possible(side, &probe, self.rig.ifindex);
        assert_eq!(state::all(&self.rig), before, "explaining changes nothing");
        for number in 0..PACKETS {
            if number % 40 == 39 {
                let gone = self.random.below(services.len());
                if !services[gone].gone {
                    world::remove::<F>(&mut self.rig, &mut services[gone]);
                }
            }
            let (side, probe) = world::packet::<F>(&mut self.random, &services, &answers);
            let what = format!("{} packet {number}: {side:?} {probe:?}", F::NAME);
            let done = self.compare::<F>(side, &probe, &services, &what, seen);
            if done.trial.verdict == Verdict::Redirect && done.story.event.action == action::FORWARD && probe.opens {
                let (from, to) = ends::<F>(&done.trial.packet);
                answers.push((probe.protocol, to, from));
            }
        }
    }

    /// Explains the packet, has the programs handle it, and returns the explanation that held.
    fn compare<F: Net>(
        &mut self,
        side: Side,
        probe: &Probe,
        services: &[Service],
        what: &str,
        seen: &mut Seen,
    ) -> PacketStory {
        let ifindex = if side == Side::Ingress {
            self.rig.ifindex
        } else {
            self.pod
        };
        let before = state::written(&self.rig);
        let possible = self.possible(side, probe, ifindex);
        assert_eq!(state::written(&self.rig), before, "{what}: explaining changes nothing");

        let counted = self.counters();
        let done = self.rig.datapath().trial(side, &possible[0].frame, ifindex).unwrap();
        let reasons: Vec<Reason> = (Reason::ALL.into_iter().zip(counted).zip(self.counters()))
            .filter_map(|((reason, before), after)| (after != before).then_some(reason))
            .collect();

        let is_so = |story: &&PacketStory| {
            let mut told = story.story.reasons.clone();
            told.sort_unstable();
            told == reasons
                && story.trial.verdict == done.verdict
                && same::<F>(&story.trial.packet, &done.packet, probe)
        };
        let held = possible.iter().find(is_so).unwrap_or_else(|| {
            let ends = ends::<F>(&done.packet);
            panic!(
                "{what}: was handled as {:?}, {reasons:?}, {ends:?}, and explained as {possible:#?}",
                done.verdict
            )
        });
        check::<F>(held, probe, services, what);
        if held.story.choice.is_none_or(Choice::is_certain) {
            assert!(
                possible.iter().all(|story| story.story.choice == held.story.choice),
                "{what}"
            );
        }
        seen.note(held, &reasons, possible.len());
        held.clone()
    }

    fn possible(&mut self, side: Side, probe: &Probe, ifindex: u32) -> Vec<PacketStory> {
        super::possible(RUNS, || self.explainer.packet(side, probe, ifindex).unwrap())
    }

    fn counters(&mut self) -> Vec<u64> {
        let report = self.rig.datapath().report();
        report.counters.iter().map(|counter| counter.count).collect()
    }
}

/// Frontend and candidates are those that were programmed.
fn check<F: Net>(held: &PacketStory, probe: &Probe, services: &[Service], what: &str) {
    let is_meant = |service: &&Service| {
        let address = service.address;
        let is_there =
            address.ip() == probe.to.ip() || address.ip().is_unspecified() && probe.to.ip() == F::NODE.into();
        !service.gone && service.proto == probe.protocol && address.port() == probe.to.port() && is_there
    };
    let meant = services.iter().find(is_meant);
    let story = &held.story;
    if let Some(frontend) = story.frontend {
        let meant = meant.unwrap_or_else(|| panic!("{what}: no such frontend: {frontend:?}"));
        assert_eq!((frontend.id, frontend.address), (meant.id, meant.address), "{what}");
        for candidate in &story.candidates {
            assert!(
                meant.backends.contains(&(candidate.id, candidate.address)),
                "{what}: {candidate:?}"
            );
        }
    }
    let begins = [Reason::FlowToLocal, Reason::FlowToRemote, Reason::FlowToRemoteDsr];
    if meant.is_some() && begins.iter().any(|reason| story.reasons.contains(reason)) {
        assert!(story.frontend.is_some() && story.choice.is_some(), "{what}: {story:?}");
        let id = story.event.backend_id;
        assert!(story.candidates.iter().any(|candidate| candidate.id == id), "{what}");
    }
}

impl Seen {
    fn note(&mut self, held: &PacketStory, reasons: &[Reason], runs: usize) {
        self.packets += 1;
        self.runs += runs;
        self.reasons.extend(reasons);
        match held.story.choice {
            Some(Choice::Affinity { .. }) => self.affinity += 1,
            Some(Choice::Maglev) => self.maglev += 1,
            Some(Choice::Chance | Choice::FewerConnections) => self.chance += 1,
            Some(Choice::Flow) => self.known += 1,
            Some(Choice::Only) => {}
            None => self.foreign += u32::from(reasons.is_empty()),
        }
    }
}

/// Whether these are the same packets, but for a source port that was drawn.
fn same<F: Net>(explained: &[u8], done: &[u8], probe: &Probe) -> bool {
    if explained == done {
        return true;
    }
    let ((from, to), (from_done, to_done)) = (ends::<F>(explained), ends::<F>(done));
    let is_drawn = |end: SocketAddr| (SNAT.min..=SNAT.max).contains(&end.port()) && end.port() != probe.from.port();
    from.ip() == from_done.ip()
        && to == to_done
        && is_drawn(from)
        && is_drawn(from_done)
        && explained.len() == done.len()
}

fn ends<F: Net>(frame: &[u8]) -> (SocketAddr, SocketAddr) {
    let ((from, sport), (to, dport)) = F::endpoints(frame);
    (SocketAddr::new(from.into(), sport), SocketAddr::new(to.into(), dport))
}
