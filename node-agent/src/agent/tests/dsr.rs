//! Which flows get DSR, and until when programs take what other nodes have encapsulated.

use std::{sync::Arc, time::Duration};

use kpr_abi::backend::flags;
use kpr_crds::{ForwardingMode, NodeDatapathSpec};

use super::{
    fake::Kernel,
    rig::{Rig, datapath, spec},
};
use crate::{
    datapath::Dsr,
    model::tests::fixtures::{ep, slice, svc},
    observe::api::Phase,
    plan::Op,
    watch::Change,
};

fn mode(mode: ForwardingMode) -> NodeDatapathSpec {
    let mut spec = spec();
    spec.load_balancer.mode = mode;
    spec
}

/// A Service with an endpoint on this node and one on each of these.
fn cluster(nodes: &[&str]) -> [Change; 3] {
    let others = nodes
        .iter()
        .zip(2..)
        .map(|(node, number)| ep(&format!("10.244.{number}.5")).on(node));
    let pods: Vec<_> = [ep("10.244.0.5").on("node-a")].into_iter().chain(others).collect();
    [
        Change::Services(vec![svc("web").node_port(30080).parse()]),
        Change::Slices(vec![slice("web-1", "web").with(pods).parse()]),
        Change::Synced,
    ]
}

fn takers(nodes: &[&str]) -> Change {
    Change::DsrTakers(Some(Arc::new(nodes.iter().map(|&node| node.into()).collect())))
}

/// The backends that are written with the flag, by the third byte of their addresses.
fn with_dsr(kernel: &Kernel) -> Vec<u8> {
    let ops = kernel.take_ops().into_iter();
    let mut found: Vec<u8> = ops
        .filter_map(|op| match op {
            Op::PutBackend { value, .. } if value.flags & flags::DSR != 0 => {
                let addr: std::net::Ipv4Addr = value.addr.into();
                Some(addr.octets()[2])
            }
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn nothing_is_programmed_before_it_is_known_which_nodes_take_encapsulated_packets() {
    let kernel = Kernel::default();
    let mut agent = Rig::configured(&kernel);
    agent.tell([datapath(2, mode(ForwardingMode::Dsr))]);
    agent.tell([Change::Pods(Vec::new())]);
    agent.tell(cluster(&["node-b", "node-c"]));
    assert_eq!(kernel.take_ops(), []);
    assert_ne!(agent.snapshot().phase, Phase::Active);

    agent.tell([takers(&["node-a", "node-b"])]);
    assert_eq!(
        with_dsr(&kernel),
        [2],
        "not the own node's, nor that of a node that takes none"
    );
    assert_eq!(agent.snapshot().phase, Phase::Active);

    agent.tell([takers(&["node-a", "node-b", "node-c"])]);
    assert_eq!(with_dsr(&kernel), [3]);
}

#[test]
fn nodes_with_endpoints_that_take_none_are_told() {
    let kernel = Kernel::default();
    let mut agent = Rig::configured(&kernel);
    agent.tell(cluster(&["node-b", "node-c"]));
    agent.later(Duration::from_secs(5));
    assert_eq!(agent.snapshot().without_dsr, None, "nobody asked");

    agent.tell([datapath(2, mode(ForwardingMode::Hybrid)), takers(&["node-b"])]);
    agent.later(Duration::from_secs(5));
    let told = agent.snapshot().without_dsr.unwrap();
    assert_eq!(told.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["node-c"]);
}

#[test]
fn flows_that_there_are_go_on_after_the_mode_has_changed_back() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let in_force = || kernel.state().starts.last().unwrap().dsr;
    assert_eq!(in_force(), Dsr::Off);
    agent.tell([datapath(2, mode(ForwardingMode::Hybrid)), takers(&[])]);
    assert_eq!(in_force(), Dsr::Tcp);
    agent.later(Duration::from_secs(5));

    kernel.state().dsr_has_flows = true;
    agent.tell([datapath(3, mode(ForwardingMode::Snat))]);
    assert_eq!(in_force(), Dsr::Ending);
    agent.swept(&kernel);
    assert_eq!(in_force(), Dsr::Ending, "they are not over");

    kernel.state().dsr_has_flows = false;
    agent.swept(&kernel);
    assert_eq!(in_force(), Dsr::Off);
    let starts = kernel.state().starts.len();
    agent.swept(&kernel);
    assert_eq!(kernel.state().starts.len(), starts, "and that is all");
}

#[test]
fn a_restarted_agent_knows_that_there_may_be_such_flows() {
    let kernel = Kernel::default();
    kernel.state().may_have_dsr = true;
    let mut agent = Rig::serving(&kernel);
    let in_force = || kernel.state().starts.last().unwrap().dsr;
    assert_eq!(in_force(), Dsr::Ending);
    agent.swept(&kernel);
    assert_eq!(in_force(), Dsr::Off);
}
