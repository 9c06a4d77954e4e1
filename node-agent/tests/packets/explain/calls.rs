//! Socket calls: explained, and then made.

use super::{random::Random, state};
use crate::{
    rig::{Backend, Frontend, NODE, NODE_PORT, Rig, TCP, run, settings},
    socket::{CLUSTER_IP, Shell},
};
use kpr_abi::{Event, Reason, event::Wanted, service::flags};
use kpr_node_agent::datapath::{Call, CallStory, Choice, Events, Explainer, Settings};
use std::{
    collections::BTreeSet,
    net::{Ipv4Addr, SocketAddr},
};

const CALLS: usize = 60;
/// Runs after which each of three backends was chosen.
const RUNS: usize = 100;

/// Pods of this node whose ports refuse at once: nobody listens.
fn pod(n: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 99, 0, n)
}

/// A node whose programs tell of every call.
fn node() -> (Rig, Events) {
    let mut node = Rig::with(&Settings {
        events: Some(1 << 16),
        ..settings()
    });
    let mut events = node.datapath().take_events().unwrap();
    events.want(Wanted::ALL).unwrap();
    for n in 1..=9 {
        run(&format!("ip addr add {}/32 dev lo", pod(n)));
    }
    (node, events)
}

fn cluster_ip(port: u16, more: u32) -> Frontend {
    Frontend {
        addr: CLUSTER_IP,
        port,
        flags: flags::CLUSTER_IP | more,
        ..Frontend::node_port(TCP)
    }
}

fn possible(explainer: &mut Explainer, call: &Call) -> Vec<CallStory> {
    super::possible(RUNS, || explainer.call(call).unwrap())
}

fn is_told(story: &CallStory, told: Option<&Event>) -> bool {
    let explained = story.story.event;
    match told {
        None => story.story.reasons.is_empty() && story.story.frontend.is_none(),
        Some(told) => {
            let by = |event: &Event| {
                (
                    event.what,
                    event.service,
                    event.backend,
                    event.backend_port,
                    event.backend_id,
                )
            };
            by(&explained) == by(told)
                && (explained.base, explained.len, explained.steps) == (told.base, told.len, told.steps)
        }
    }
}

#[test]
fn calls_are_explained_as_they_are_led_and_nothing_changes() {
    let (mut node, mut events) = node();
    let local = [1, 2, 3].map(|n| Backend::Local(pod(n)));
    node.serve(cluster_ip(1_000, 0), 0, &local);
    node.serve(
        cluster_ip(1_001, 0).affinity(3_600, 9),
        8,
        &[4, 5, 6].map(|n| Backend::Local(pod(n))),
    );
    node.serve(cluster_ip(1_002, 0), 16, &[]);
    node.serve(cluster_ip(1_003, flags::INTERNAL_LOCAL), 24, &[Backend::Remote(pod(7))]);
    // Ranges that nobody is in.
    node.serve(cluster_ip(1_004, flags::SOURCE_RANGES), 32, &[Backend::Local(pod(8))]);
    node.serve(Frontend::node_port(TCP), 40, &[Backend::Local(pod(9))]);
    let mut explainer = Explainer::open(&node.options.bpffs_root).unwrap().unwrap();
    let mut shell = Shell::in_cgroup(&node.options.cgroup_root);
    let mut random = Random::new(7);
    let mut seen = BTreeSet::new();
    for number in 0..CALLS {
        let to: SocketAddr = match random.below(8) {
            port @ 0..=4 => (CLUSTER_IP, 1_000 + u16::try_from(port).unwrap()).into(),
            5 => (NODE, NODE_PORT).into(),
            // For no frontend: a pod itself, and another port of the node.
            6 => (pod(1), 80).into(),
            _ => (NODE, 30_999).into(),
        };
        let call = Call {
            protocol: TCP,
            to,
            netns: explainer.host_netns(),
        };
        let before = state::written(&node);
        let possible = possible(&mut explainer, &call);
        assert_eq!(
            state::written(&node),
            before,
            "call {number} to {to}: explaining changes nothing"
        );
        shell.run(&format!("exec 3<>/dev/tcp/{}/{}; exec 3<&-", to.ip(), to.port()));
        let told: Vec<Event> = events.by_ref().collect();
        assert!(told.len() <= 1, "{told:?}");
        let held = possible.iter().find(|story| is_told(story, told.first()));
        let held = held.unwrap_or_else(|| panic!("call {number} to {to}: told {told:?}, explained {possible:#?}"));
        seen.extend(held.story.reasons.clone());
        if held.story.choice.is_none_or(Choice::is_certain) {
            assert_eq!(possible.len(), 1, "call {number} to {to}");
        }
        let is_denied = told.iter().any(|event| event.what != Reason::SocketTranslated as u32);
        assert_eq!(held.led_to.is_none(), is_denied, "call {number} to {to}");
        let backend = held
            .story
            .candidates
            .iter()
            .find(|one| one.id == held.story.event.backend_id);
        let expected = backend.map_or(to, |backend| backend.address);
        assert!(
            held.led_to.is_none_or(|led| led == expected),
            "call {number} to {to}: {held:?}"
        );
    }
    let denied = [Reason::SocketNoEndpoint, Reason::SocketNoLocalEndpoint];
    assert!(
        seen.contains(&Reason::SocketTranslated) && denied.iter().all(|reason| seen.contains(reason)),
        "{seen:?}"
    );
}

#[test]
fn a_client_that_sticks_to_a_backend_is_told_so_and_another_is_not() {
    let (mut node, _events) = node();
    let pods = [1, 2, 3].map(|n| Backend::Local(pod(n)));
    node.serve(cluster_ip(1_001, 0).affinity(3_600, 9), 0, &pods);
    let mut explainer = Explainer::open(&node.options.bpffs_root).unwrap().unwrap();
    let mut call = Call {
        protocol: TCP,
        to: (CLUSTER_IP, 1_001).into(),
        netns: explainer.host_netns(),
    };
    assert_eq!(explainer.call(&call).unwrap().story.choice, Some(Choice::Chance));
    Shell::in_cgroup(&node.options.cgroup_root).run(&format!("exec 3<>/dev/tcp/{CLUSTER_IP}/1001"));
    let stuck = possible(&mut explainer, &call);
    assert!(
        matches!(stuck[..], [CallStory { ref story, .. }] if matches!(story.choice, Some(Choice::Affinity { .. })))
    );
    call.netns += 1;
    assert_eq!(
        possible(&mut explainer, &call).len(),
        3,
        "a socket of another namespace is another client"
    );
}
