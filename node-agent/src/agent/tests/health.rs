//! What the agent tells those who answer load balancers.

use std::time::Duration;

use super::{
    fake::Kernel,
    rig::{Rig, datapath, draining, node, spec},
};
use crate::{
    agent::{GRACE, Snapshot},
    health::{HEALTH_TIMEOUT, Moment, ProxyHealth, node_eligible},
    model::tests::fixtures::{ep, slice, svc},
    watch::{Change, NodeInput},
};

/// As `web:32000 = 1`.
fn checks(agent: &Rig) -> Vec<String> {
    let snapshot = agent.snapshot();
    let checks = snapshot.health_checks.iter();
    checks
        .map(|check| {
            format!(
                "{}:{} = {}",
                check.service.name, check.port, check.local_ready_endpoints
            )
        })
        .collect()
}

/// `web` behind a load balancer, its endpoint on this node.
fn balanced() -> [Change; 2] {
    let web = svc("web")
        .kind("LoadBalancer")
        .external_local()
        .health_check_node_port(32_000);
    let here = slice("web-1", "web").with([ep("10.244.0.2").on("node-a")]);
    [
        Change::Service(Box::new(web.parse())),
        Change::Slice(Box::new(here.parse())),
    ]
}

fn healthy(snapshot: &Snapshot, agent: &Rig) -> bool {
    let moment = Moment {
        instant: agent.now,
        ..Moment::now()
    };
    ProxyHealth::of(snapshot, moment).healthy
}

#[test]
fn a_health_check_is_told_once_its_service_is_programmed() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    assert_eq!(checks(&agent), [""; 0]);
    kernel.state().failing_ops = 1;
    agent.tell(balanced());
    assert_eq!(checks(&agent), [""; 0], "the write was refused");
    agent.later(GRACE);
    assert_eq!(checks(&agent), ["web:32000 = 1"]);

    let draining = slice("web-1", "web").with([ep("10.244.0.2").on("node-a").draining()]);
    agent.tell([Change::Slice(Box::new(draining.parse()))]);
    assert_eq!(checks(&agent), ["web:32000 = 0"]);
}

#[test]
fn removal_ends_the_health_checks_and_kube_proxy_keeps_its_own() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    agent.tell(balanced());
    assert_eq!(checks(&agent), ["web:32000 = 1"]);

    let mut partial = spec();
    partial.services.load_balancer = false;
    agent.tell([datapath(2, partial)]);
    assert_eq!(checks(&agent), [""; 0]);

    agent.tell([datapath(3, spec())]);
    assert_eq!(checks(&agent), ["web:32000 = 1"]);
    agent.tell([datapath(4, draining())]);
    assert_eq!(checks(&agent), [""; 0]);
    assert_eq!(agent.snapshot().families, []);
}

#[test]
fn writes_that_fail_for_a_minute_are_unhealthy_until_one_succeeds() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    assert!(agent.snapshot().families.iter().all(|family| family.updated.is_some()));
    kernel.state().failing_ops = usize::MAX;
    let moved = slice("web-1", "web").with([ep("10.244.0.9")]).parse();
    agent.tell([Change::Slice(Box::new(moved))]);
    agent.later(HEALTH_TIMEOUT.saturating_sub(Duration::from_secs(1)));
    assert!(healthy(&agent.snapshot(), &agent), "not for too long yet");
    agent.later(Duration::from_secs(1));
    assert!(!healthy(&agent.snapshot(), &agent));

    kernel.state().failing_ops = 0;
    agent.later(HEALTH_TIMEOUT);
    assert!(healthy(&agent.snapshot(), &agent));
}

#[test]
fn services_that_do_not_fit_do_not_make_the_node_unhealthy() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    // The fake tables hold 16 backends.
    let many = (1..=20).map(|n| ep(&format!("10.244.7.{n}")));
    let full = slice("web-1", "web").with(many).parse();
    agent.tell([Change::Slice(Box::new(full))]);
    agent.later(HEALTH_TIMEOUT * 2);
    assert!(agent.snapshot().troubles.full.is_some());
    assert!(healthy(&agent.snapshot(), &agent));
}

#[test]
fn the_node_is_told_as_it_was_last_seen() {
    let kernel = Kernel::default();
    let mut agent = Rig::starts(&kernel);
    assert!(!node_eligible(agent.snapshot().node.as_ref()));
    agent.tell([Change::Node(Some(node()))]);
    assert!(node_eligible(agent.snapshot().node.as_ref()));
    let going = NodeInput {
        deleting: true,
        ..node()
    };
    agent.tell([Change::Node(Some(going))]);
    assert!(!node_eligible(agent.snapshot().node.as_ref()));
}
