//! Maglev: which backend a flow goes to follows from the flow and the backends alone.

use crate::{
    families::{Asked, Net, Node, SYN, node_port},
    rig::{self, Frontend, NODE_PORT, Rig, TCP},
};
use kpr_abi::{BackendValue, Be16, ServiceValue, Slice, TableSize, V4, V6, service::flags};
use kpr_node_agent::{
    maglev::Member,
    plan::{Op, Planner, SlotRun},
};
use std::collections::HashSet;

const HOUR: u32 = 3_600;
const PODS: u8 = 5;

fn size() -> TableSize {
    TableSize::of(2_039).unwrap()
}

fn value<F: Net>(pod: F::Ip) -> BackendValue<F::Addr> {
    BackendValue {
        addr: F::Addr::from(pod),
        port: Be16::new(80),
        proto: TCP,
        flags: 0,
    }
}

/// A node that serves a NodePort of TCP by these pods, to which it has given ids from `first` on, in this order.
fn serving<F: Net>(asked: Asked<F>, first: u32, pods: &[F::Ip]) -> Node<F> {
    let mut node = Node::<F>::new();
    let ids = node.backends(TCP, first, true, pods);
    publish(&mut node, asked, 0, ids.into_iter().zip(pods.iter().copied()));
    node
}

/// Publishes the frontend with a fresh list and table at slots from `base`.
fn publish<F: Net>(node: &mut Node<F>, asked: Asked<F>, base: u32, pods: impl Iterator<Item = (u32, F::Ip)>) {
    let run = SlotRun::with_table(size(), pods.map(|(id, pod)| (id, Member::new::<F>(&value::<F>(pod)))));
    let len = u32::try_from(run.ids().len()).unwrap();
    node.apply(&Op::PutSlots { base, run });
    let list = Slice { base, len };
    let value = ServiceValue {
        id: 1,
        flags: asked.flags | flags::HAS_ENDPOINTS | size().flags(),
        cluster: list,
        local: list,
        affinity_seconds: if asked.flags & flags::AFFINITY == 0 { 0 } else { HOUR },
        affinity_group: 1,
    };
    node.apply(&Op::PutService {
        key: asked.key(),
        value,
    });
}

fn pods<F: Net>() -> Vec<F::Ip> {
    (0..PODS).map(F::pod).collect()
}

/// Where a connection from each of these ports of the client goes.
fn chosen<F: Net>(node: &mut Node<F>, ports: impl Iterator<Item = u16>) -> Vec<F::Ip> {
    ports
        .map(|port| node.sent_to(SYN, (F::CLIENT, port), (F::NODE, NODE_PORT)))
        .collect()
}

fn nodes_agree<F: Net>() {
    let mut pods = pods::<F>();
    let ports = 40_000..41_000;
    let one = chosen(&mut serving(node_port::<F>(TCP), 1, &pods), ports.clone());
    pods.reverse();
    let other = chosen(&mut serving(node_port::<F>(TCP), 70, &pods), ports);
    assert_eq!(one, other, "{}", F::NAME);
    // 1,000 flows and probability one fifth: outside 120..=280 less than once in 10^9.
    for pod in pods {
        let flows = one.iter().filter(|chosen| **chosen == pod).count();
        assert!((120..=280).contains(&flows), "{}: {flows} of 1,000 at {pod}", F::NAME);
    }
}

#[test]
fn nodes_that_learned_of_backends_in_another_order_send_each_flow_to_the_same() {
    nodes_agree::<V4>();
    nodes_agree::<V6>();
}

fn few_move<F: Net>() {
    let pods = pods::<F>();
    let ports = 40_000..41_000;
    let before = chosen(&mut serving(node_port::<F>(TCP), 1, &pods), ports.clone());
    // As on a node that does not know the flows.
    let gone = pods[2];
    let left: Vec<_> = pods.into_iter().filter(|pod| *pod != gone).collect();
    let after = chosen(&mut serving(node_port::<F>(TCP), 1, &left), ports);
    assert!(after.iter().all(|pod| *pod != gone), "{}", F::NAME);
    let moved = before.iter().zip(&after).filter(|(b, a)| **b != gone && b != a).count();
    assert!(
        moved <= 20,
        "{}: {moved} of 1,000 flows moved from pods that stay",
        F::NAME
    );
}

#[test]
fn flows_of_pods_that_stay_stay_when_another_goes() {
    few_move::<V4>();
    few_move::<V6>();
}

fn a_switch_is_seen_by_the_next_flow<F: Net>() {
    let pods = pods::<F>();
    let mut node = serving(node_port::<F>(TCP), 1, &pods);
    let gone = chosen(&mut node, 40_000..40_001)[0];
    let left = (1..).zip(pods.iter().copied()).filter(|(_, pod)| *pod != gone);
    publish(&mut node, node_port(TCP), 2_044, left);
    let chosen: HashSet<_> = chosen(&mut node, 40_001..40_200).into_iter().collect();
    assert_eq!(chosen.len(), usize::from(PODS) - 1, "{}", F::NAME);
    assert!(!chosen.contains(&gone), "{}", F::NAME);
}

#[test]
fn new_flows_follow_the_new_table_at_once() {
    a_switch_is_seen_by_the_next_flow::<V4>();
    a_switch_is_seen_by_the_next_flow::<V6>();
}

fn affinity_comes_first<F: Net>() {
    let asked = node_port::<F>(TCP).with(flags::AFFINITY);
    let mut node = serving(asked, 1, &pods::<F>());
    let chosen: HashSet<_> = chosen(&mut node, 40_000..40_100).into_iter().collect();
    assert_eq!(chosen.len(), 1, "{}: {chosen:?}", F::NAME);
}

#[test]
fn a_client_with_affinity_stays_with_its_backend_whatever_the_table_says() {
    affinity_comes_first::<V4>();
    affinity_comes_first::<V6>();
}

#[test]
fn a_restarted_agent_reads_a_table_back_as_it_was_written() {
    let mut settings = rig::settings();
    // More than one system call reads or writes, and the last one ends with the map.
    settings.sizes.slots = 20_000;
    let size = TableSize::of(16_381).unwrap();
    let (base, len) = (settings.sizes.slots - size.slots() - 3, 3);
    let mut node = Rig::with(&settings);
    let backends = (1..=len).zip(pods::<V4>()).map(|(id, pod)| (id, value::<V4>(pod)));
    let members = backends.clone().map(|(id, value)| (id, Member::new::<V4>(&value)));
    let run = SlotRun::with_table(size, members);
    let written = run.slots().into_owned();
    let tables = node.datapath().v4_mut();
    for (id, value) in backends {
        tables.apply(&Op::PutBackend { id, value }).unwrap();
    }
    tables.apply(&Op::PutSlots { base, run }).unwrap();
    let value = ServiceValue {
        id: 1,
        flags: flags::NODE_PORT | flags::HAS_ENDPOINTS | size.flags(),
        cluster: Slice { base, len },
        ..ServiceValue::default()
    };
    let key = Frontend::node_port(TCP).key();
    tables.apply(&Op::PutService { key, value }).unwrap();

    node.datapath = None;
    node.start(&settings);
    let tables = node.datapath().v4_mut();
    let limits = tables.limits();
    let found = tables.restore().unwrap();
    assert_eq!(found.slots[base as usize..], written);
    let (_, problems) = Planner::<V4>::restore(
        limits,
        found.services,
        &found.slots,
        found.backends,
        found.source_ranges,
    );
    assert_eq!(problems, []);
}
