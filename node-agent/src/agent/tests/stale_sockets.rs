//! Which backends may keep their sockets, as the thread that closes them is told.

use std::net::SocketAddr;

use super::{
    fake::Kernel,
    rig::{Rig, datapath, draining, spec},
};
use crate::{
    agent::GRACE,
    model::tests::fixtures::{Ep, ep, named, slice, svc},
    sockets::Kept,
    watch::Change,
};

/// The Service `dns`, with a UDP and a TCP port, and these endpoints.
fn dns(endpoints: impl IntoIterator<Item = Ep>) -> [Change; 2] {
    let service = svc("dns").cluster_ips(&["10.96.0.53"]).port("udp", 53).protocol("UDP");
    let slice = slice("dns-1", "dns").raw_port(Some("udp"), Some(5353), Some("UDP"));
    [
        Change::Service(Box::new(service.parse())),
        Change::Slice(Box::new(slice.with(endpoints).parse())),
    ]
}

fn kept(addrs: &[&str]) -> Kept {
    let backend = |addr: &&str| SocketAddr::new(addr.parse().unwrap(), 5353);
    addrs.iter().map(backend).collect()
}

fn backend(addr: &str, port: u16) -> SocketAddr {
    SocketAddr::new(addr.parse().unwrap(), port)
}

fn told(agent: &Rig) -> Option<Kept> {
    agent.core.sockets().kept().map(|kept| (*kept).clone())
}

#[test]
fn udp_endpoints_that_serve_keep_their_sockets_and_others_do_not() {
    let mut agent = Rig::serving(&Kernel::default());
    assert_eq!(told(&agent), Some(kept(&[])), "the Service `web` has no UDP port");
    for (what, endpoints, expected) in [
        (
            "ready",
            vec![ep("10.244.0.2"), ep("10.244.1.2")],
            &["10.244.0.2", "10.244.1.2"][..],
        ),
        (
            "terminating, serving",
            vec![ep("10.244.0.2"), ep("10.244.1.2").draining()],
            &["10.244.0.2", "10.244.1.2"],
        ),
        (
            "terminating, not serving",
            vec![ep("10.244.0.2"), ep("10.244.1.2").gone()],
            &["10.244.0.2"],
        ),
        ("unready", vec![ep("10.244.0.2").unready()], &[]),
        (
            "left out here by a topology hint",
            vec![
                ep("10.244.0.2").for_nodes(&["node-b"]),
                ep("10.244.0.3").for_nodes(&["node-a"]),
            ],
            &["10.244.0.2", "10.244.0.3"],
        ),
        ("gone", vec![], &[]),
    ] {
        agent.tell(dns(endpoints));
        assert_eq!(told(&agent), Some(kept(expected)), "{what}");
    }
}

#[test]
fn a_service_that_is_gone_keeps_no_socket_even_while_its_slices_are_there() {
    let mut agent = Rig::serving(&Kernel::default());
    agent.tell(dns([ep("10.244.0.2")]));
    agent.tell([Change::ServiceGone(named("dns"))]);
    assert_eq!(told(&agent), Some(kept(&[])));
}

#[test]
fn no_socket_is_closed_before_the_tables_have_let_go_of_its_backend() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    agent.tell(dns([ep("10.244.0.2")]));
    kernel.state().failing_ops = 1;
    agent.tell(dns([ep("10.244.0.3")]));
    assert_eq!(
        told(&agent),
        Some(kept(&["10.244.0.2", "10.244.0.3"])),
        "the write failed: both"
    );
    agent.later(GRACE);
    assert_eq!(told(&agent), Some(kept(&["10.244.0.3"])));
}

#[test]
fn connections_are_reset_if_asked_once_their_backend_is_gone_and_not_before() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let mut asked = spec();
    asked.socket_lb.terminate_stale_tcp = true;
    agent.tell([datapath(2, asked)]);
    let web = |endpoints: Vec<Ep>| Change::Slice(Box::new(slice("web-1", "web").with(endpoints).parse()));
    let (old, new) = (backend("10.244.0.2", 8080), backend("10.244.0.3", 8080));
    for (what, endpoints, expected) in [
        ("ready", vec![ep("10.244.0.2")], vec![old]),
        (
            "terminating",
            vec![ep("10.244.0.2").draining(), ep("10.244.0.3")],
            vec![old, new],
        ),
        (
            "unready",
            vec![ep("10.244.0.2").unready(), ep("10.244.0.3")],
            vec![old, new],
        ),
        ("gone", vec![ep("10.244.0.3")], vec![new]),
    ] {
        agent.tell([web(endpoints)]);
        assert_eq!(told(&agent), Some(kept(&[]).with_tcp(expected)), "{what}");
    }
}

#[test]
fn nothing_is_told_before_everything_was_read_or_if_nobody_asks_or_after_the_end() {
    let kernel = Kernel::default();
    let mut agent = Rig::configured(&kernel);
    agent.tell([Change::Services(vec![])]);
    assert_eq!(told(&agent), None, "EndpointSlices are not read yet");
    agent.tell([Change::Slices(vec![]), Change::Synced]);
    assert_eq!(told(&agent), Some(kept(&[])));

    let mut off = spec();
    off.socket_lb.terminate_stale_sockets = false;
    agent.tell([datapath(2, off)]);
    assert_eq!(told(&agent), None);
    agent.tell([datapath(3, spec())]);
    assert_eq!(told(&agent), Some(kept(&[])));
    agent.tell([datapath(4, draining())]);
    assert_eq!(told(&agent), None);
}
