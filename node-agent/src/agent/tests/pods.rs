//! Programs on pod-facing devices, and hostPorts.

use std::time::Duration;

use k8s_openapi::api::core::v1;
use kpr_abi::{Be16, V4, service::flags};
use serde_json::json;

use super::{
    fake::Kernel,
    rig::{Rig, datapath, eth0, node, spec},
};
use crate::{
    agent::PodReason,
    devices::Device,
    model::{
        NamespacedName,
        input::PodInput,
        tests::fixtures::{Svc, ep, named, pod, slice, svc},
    },
    plan::Op,
    watch::Change,
};

fn veth() -> Device {
    Device {
        name: "veth1".into(),
        ifindex: 9,
        kind: "veth".into(),
        has_default_route: false,
        addresses: Vec::new(),
        ..eth0()
    }
}

fn serving(kernel: &Kernel) -> Rig {
    let mut agent = Rig::serving(kernel);
    agent.core.take_devices(vec![eth0(), veth()]);
    agent.tell([]);
    agent
}

fn lb(ranges: &[&str]) -> Svc {
    svc("lb")
        .cluster_ips(&["10.96.0.11"])
        .load_balancer_ip("198.51.100.1")
        .source_ranges(ranges)
}

fn service(service: &Svc) -> Change {
    Change::Service(Box::new(service.parse()))
}

/// Why programs are on pod-facing devices, and on how many.
fn on_pods(kernel: &Kernel) -> (Vec<PodReason>, usize) {
    let state = kernel.state();
    let last = state.placements.last().unwrap();
    (last.pod_reasons.iter().copied().collect(), last.pod_facing.len())
}

#[test]
fn pods_devices_are_attached_before_source_ranges_are_published_and_only_as_long_as_they_are_needed() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    assert_eq!(on_pods(&kernel), (vec![], 0), "without a reason");
    kernel.take_ops();

    agent.tell([service(&lb(&["192.0.2.0/24"]))]);
    assert_eq!(on_pods(&kernel), (vec![PodReason::SourceRanges], 1));
    let ops = kernel.take_ops();
    let position = |wanted: fn(&Op<V4>) -> bool| ops.iter().position(wanted).unwrap();
    let put = position(|op| matches!(op, Op::PutService { value, .. } if value.flags & flags::SOURCE_RANGES != 0));
    assert!(position(|op| matches!(op, Op::PutRange { .. })) < put);
    assert_eq!(
        kernel.state().placed_before_write,
        Some(true),
        "attached before anything was written"
    );

    kernel.state().pods_have_flows = true;
    agent.tell([service(&lb(&[]))]);
    agent.later(Duration::from_secs(5));
    assert_eq!(
        on_pods(&kernel),
        (vec![PodReason::OpenFlows], 1),
        "a pod may be talking"
    );
    agent.swept(&kernel);
    assert_eq!(on_pods(&kernel), (vec![PodReason::OpenFlows], 1), "a pod is talking");
    kernel.state().pods_have_flows = false;
    agent.swept(&kernel);
    assert_eq!(on_pods(&kernel), (vec![], 0));
}

#[test]
fn a_restarted_agent_leaves_pods_devices_attached_and_writes_no_range() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    let ranged = lb(&["192.0.2.0/24"]);
    agent.tell([service(&ranged)]);
    drop(agent);
    let before = kernel.state().placements.len();

    let mut agent = Rig::starts(&kernel);
    agent.core.take_devices(vec![eth0(), veth()]);
    agent.tell([Change::Node(Some(node())), datapath(1, spec())]);
    agent.tell([
        Change::Services(vec![svc("web").parse(), ranged.parse()]),
        Change::Slices(vec![slice("web-1", "web").with([ep("10.244.0.2")]).parse()]),
        Change::Pods(Vec::new()),
        Change::Synced,
    ]);
    agent.later(Duration::from_secs(1));
    assert_eq!(agent.snapshot().report.map_writes, 0);
    let state = kernel.state();
    let placements = &state.placements[before..];
    assert!(!placements.is_empty());
    assert!(placements.iter().all(|placement| placement.pod_facing.len() == 1));
}

#[test]
fn a_restarted_agent_leaves_them_to_flows_of_ranges_that_are_gone() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    agent.tell([service(&lb(&["192.0.2.0/24"]))]);
    agent.tell([Change::ServiceGone(named("lb"))]);
    drop(agent);
    kernel.state().pods_have_flows = true;
    let _ = serving(&kernel);
    assert_eq!(on_pods(&kernel), (vec![PodReason::OpenFlows], 1));
}

#[test]
fn ranges_that_do_not_fit_are_a_trouble_and_are_served_once_there_is_room() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    let many = |nets: u8| -> Vec<String> { (0..nets).map(|net| format!("10.{net}.0.0/16")).collect() };
    let ranged = |name: &str, ip: &str, ranges: &[String]| {
        let ranges: Vec<_> = ranges.iter().map(String::as_str).collect();
        let vip = ip.replace("10.96.0", "198.51.100");
        service(
            &svc(name)
                .cluster_ips(&[ip])
                .load_balancer_ip(&vip)
                .source_ranges(&ranges),
        )
    };
    agent.tell([
        ranged("a", "10.96.0.11", &many(10)),
        ranged("b", "10.96.0.12", &many(7)),
    ]);
    let trouble = agent.snapshot().troubles.full.unwrap();
    assert!(
        trouble.contains("default/b needs more source ranges than the table's 16"),
        "{trouble}"
    );
    assert!(!kernel.shows().iter().any(|shown| shown.contains("10.96.0.12")));

    agent.tell([ranged("a", "10.96.0.11", &many(9))]);
    agent.later(Duration::ZERO);
    assert_eq!(agent.snapshot().troubles.full, None);
    assert!(kernel.shows().iter().any(|shown| shown.contains("198.51.100.12")));
}

fn host_port(port: u16) -> Change {
    Change::Pod(Box::new(pod("p").host_port(port).parse()))
}

#[test]
fn host_ports_come_and_go_with_their_pods() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    agent.tell([host_port(8000)]);
    let shown = "0.0.0.0:8000 -> 10.244.0.9:8080".to_owned();
    assert!(kernel.shows().contains(&shown), "{:?}", kernel.shows());
    agent.tell([Change::PodGone(named("p"))]);
    assert!(!kernel.shows().contains(&shown));
}

#[test]
fn a_node_port_takes_a_host_port_over_and_gives_it_back_in_one_write_each() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    agent.tell([host_port(30080)]);
    kernel.take_ops();
    let node_port = svc("db").cluster_ips(&["10.96.0.11"]).node_port(30080);
    let kind = |kernel: &Kernel| -> Vec<u32> {
        let puts = kernel.take_ops().into_iter().filter_map(|op| match op {
            Op::PutService { key, value } if key.port == Be16::new(30080) => Some(value.flags & flags::KIND),
            Op::DeleteService { key } => {
                assert_ne!(key.port, Be16::new(30080), "the port is served all the time");
                None
            }
            _ => None,
        });
        puts.collect()
    };
    agent.tell([service(&node_port)]);
    assert_eq!(kind(&kernel), [flags::NODE_PORT]);
    let problem = &agent.snapshot().problems[0];
    assert!(
        problem.starts_with("default/pod/p: hostPort 0.0.0.0:30080/TCP belongs to default/db"),
        "{problem}"
    );
    agent.tell([Change::ServiceGone(named("db"))]);
    assert_eq!(kind(&kernel), [flags::HOST_PORT]);
    assert_eq!(agent.snapshot().problems, [""; 0]);
}

#[test]
fn a_pod_that_leaves_the_node_is_cut_down_to_its_name() {
    let object = json!({"metadata": {"name": "p", "namespace": "default"}, "spec": {"containers": []}});
    let pod: v1::Pod = serde_json::from_value(object).unwrap();
    let name = NamespacedName::of_pod(&named("p"));
    assert_eq!(
        PodInput::parse(&pod).unwrap(),
        PodInput::Ignored {
            name,
            addresses: Vec::new()
        }
    );
}

#[test]
fn addresses_of_node_ports_change_at_run_time_without_new_programs() {
    let kernel = Kernel::default();
    let mut agent = Rig::configured(&kernel);
    let lo = Device {
        name: "lo".into(),
        ifindex: 1,
        addresses: vec!["127.0.0.1".parse().unwrap()],
        has_default_route: false,
        ..eth0()
    };
    agent.core.take_devices(vec![lo, eth0()]);
    let local = |kernel: &Kernel| -> Vec<String> {
        let state = kernel.state();
        let local = &state.placements.last().unwrap().v4.local;
        local.iter().map(|(addr, _)| addr.to_string()).collect()
    };
    for (generation, words, addresses) in [
        (2, vec!["all"], vec!["127.0.0.1", "192.168.49.2"]),
        (3, vec!["primary"], vec!["192.168.49.2"]),
        (4, vec!["localhost"], vec!["127.0.0.1"]),
        (5, vec!["primary", "localhost"], vec!["127.0.0.1", "192.168.49.2"]),
        (6, vec!["10.0.0.0/8"], vec![]),
        (7, vec!["10.0.0.0/8", "primary"], vec!["192.168.49.2"]),
    ] {
        let mut spec = spec();
        spec.node_port.addresses = words.iter().map(ToString::to_string).collect();
        agent.tell([datapath(generation, spec)]);
        assert_eq!(local(&kernel), addresses, "{words:?}");
    }
    assert_eq!(kernel.state().starts.len(), 1);
}

#[test]
fn bind_protection_is_as_the_configuration_says() {
    let kernel = Kernel::default();
    let mut agent = serving(&kernel);
    assert!(kernel.state().starts.last().unwrap().bind_protection);
    let mut without = spec();
    without.node_port.bind_protection = false;
    agent.tell([datapath(2, without)]);
    assert!(!kernel.state().starts.last().unwrap().bind_protection);
}
