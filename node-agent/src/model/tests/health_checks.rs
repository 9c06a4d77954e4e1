//! Health check ports: which Services have one, and how many endpoints it counts.

use super::fixtures::{Ep, Node, Slice, Svc, ep, named, node, slice, svc};
use crate::model::{HealthCheck, Kinds};

fn balanced(name: &str, port: i32) -> Svc {
    svc(name)
        .kind("LoadBalancer")
        .external_local()
        .health_check_node_port(port)
}

/// As `web:32000 = 1`.
fn checks(node: &Node) -> Vec<String> {
    let checks = node.index.health_checks(&node.facts);
    let show = |check: HealthCheck| {
        let HealthCheck {
            service,
            port,
            local_ready_endpoints,
        } = check;
        format!("{}:{port} = {local_ready_endpoints}", service.name)
    };
    checks.into_iter().map(show).collect()
}

fn here(addr: &str) -> Ep {
    ep(addr).on("node-a")
}

#[test]
fn ready_endpoints_on_this_node_are_counted_by_address() {
    let pods = |endpoints: Vec<Ep>| vec![slice("web-1", "web").with(endpoints)];
    let table: [(&str, Vec<Slice>, usize); 10] = [
        ("no slice", vec![], 0),
        ("ready here", pods(vec![here("10.244.0.5")]), 1),
        ("ready elsewhere", pods(vec![ep("10.244.1.5")]), 0),
        (
            "two here, one elsewhere",
            pods(vec![here("10.244.0.5"), here("10.244.0.6"), ep("10.244.1.5")]),
            2,
        ),
        ("not ready", pods(vec![here("10.244.0.5").unready()]), 0),
        (
            "terminating and still serving",
            pods(vec![here("10.244.0.5").draining()]),
            0,
        ),
        (
            "terminating, but published although not ready",
            pods(vec![here("10.244.0.5").conditions(true, true, true)]),
            1,
        ),
        (
            "one address in two slices, with different ports",
            vec![
                slice("web-1", "web").with([here("10.244.0.5")]),
                slice("web-2", "web").port("metrics", 9090).with([here("10.244.0.5")]),
            ],
            1,
        ),
        (
            "a dual-stack pod",
            vec![
                slice("web-1", "web").with([here("10.244.0.5")]),
                slice("web-2", "web")
                    .address_type("IPv6")
                    .with([here("fd00:10:244::5")]),
            ],
            1,
        ),
        (
            "a slice without ports",
            vec![slice("web-1", "web").no_ports().with([here("10.244.0.5")])],
            0,
        ),
    ];
    for (rule, slices, count) in table {
        let node = slices
            .into_iter()
            .fold(node().svc(balanced("web", 32_000)), Node::slice);
        assert_eq!(checks(&node), [format!("web:32000 = {count}")], "{rule}");
    }
}

#[test]
fn the_list_follows_the_services() {
    let mut node = node().svc(balanced("web", 32_000)).svc(svc("plain"));
    assert_eq!(checks(&node), ["web:32000 = 0"]);
    node = node.svc(balanced("api", 32_001)).svc(balanced("web", 32_002));
    assert_eq!(checks(&node), ["api:32001 = 0", "web:32002 = 0"]);
    node = node.svc(svc("web").kind("NodePort").health_check_node_port(32_002));
    assert_eq!(checks(&node), ["api:32001 = 0"]);
    node.index.delete_service(&named("api"));
    assert_eq!(checks(&node), [""; 0]);
}

#[test]
fn kube_proxy_keeps_the_ports_where_it_keeps_load_balancers() {
    let node = node().svc(balanced("web", 32_000)).facts(|facts| {
        facts.kinds = Kinds {
            load_balancer: false,
            ..Kinds::ALL
        };
    });
    assert_eq!(checks(&node), [""; 0]);
}
