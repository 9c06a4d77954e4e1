//! Two claims to one address, port and protocol.

use kpr_abi::V6;

use super::fixtures::{Svc, named, node, svc};

const SHARED: &str = "ExternalIP 203.0.113.1:80/TCP; no-endpoints";

fn claims(name: &str, cluster_ip: &str) -> Svc {
    svc(name).cluster_ips(&[cluster_ip]).external_ips(&["203.0.113.1"])
}

#[test]
fn the_older_service_wins_then_the_first_by_name() {
    for (rule, a_created, b_created, winner) in [
        ("a is older", 1, 2, "a"),
        ("b is older", 2, 1, "b"),
        ("equally old", 1, 1, "a"),
    ] {
        for order in [["a", "b"], ["b", "a"]] {
            let node = order.into_iter().fold(node(), |node, name| {
                let (ip, day) = if name == "a" {
                    ("10.96.0.1", a_created)
                } else {
                    ("10.96.0.2", b_created)
                };
                node.svc(claims(name, ip).created(day))
            });
            for name in ["a", "b"] {
                let has_it = node.shows(name).iter().any(|shown| shown == SHARED);
                assert_eq!(has_it, name == winner, "{rule}, applied in order {order:?}: {name}");
                assert_eq!(node.problems(name).is_empty(), name == winner, "{rule}: {name}");
            }
        }
    }
}

#[test]
fn the_loser_is_told_who_has_it_and_keeps_the_rest() {
    let node = node().svc(claims("a", "10.96.0.1")).svc(claims("b", "10.96.0.2"));
    assert_eq!(node.shows("b"), ["ClusterIP 10.96.0.2:80/TCP; no-endpoints"]);
    assert_eq!(
        node.problems("b"),
        [
            "FrontendConflict: ExternalIP 203.0.113.1:80/TCP belongs to default/a; it is not served for \
          this Service"
        ]
    );
}

#[test]
fn an_ipv6_frontend_is_named_with_brackets() {
    let claims = |name: &str, ip: &str| svc(name).cluster_ips(&[ip]).external_ips(&["2001:db8::1"]);
    let node = node().svc(claims("a", "fd00:96::1")).svc(claims("b", "fd00:96::2"));
    let problems = node.problems_of::<V6>("b");
    assert!(
        problems[0].contains("ExternalIP [2001:db8::1]:80/TCP belongs to default/a"),
        "{problems:?}"
    );
}

#[test]
fn the_loser_takes_over_when_the_winner_goes() {
    let mut node = node().svc(claims("a", "10.96.0.1")).svc(claims("b", "10.96.0.2"));
    node.index.take_dirty();
    node.index.delete_service(&named("a"));
    assert_eq!(node.index.take_dirty(), [named("a"), named("b")].into());
    assert!(node.shows("b").iter().any(|shown| shown == SHARED));
}

#[test]
fn a_node_port_is_one_claim_whatever_the_node_addresses() {
    let service = |name: &str, ip: &str| svc(name).cluster_ips(&[ip]).node_port(30080);
    let node = node().svc(service("a", "10.96.0.1")).svc(service("b", "10.96.0.2"));
    assert_eq!(node.shows("a").len(), 2);
    assert_eq!(node.shows("b"), ["ClusterIP 10.96.0.2:80/TCP; no-endpoints"]);
}

#[test]
fn a_kind_that_is_switched_off_claims_nothing() {
    let a = svc("a").cluster_ips(&["10.96.0.1"]).external_ips(&["203.0.113.1"]);
    let b = svc("b").cluster_ips(&["10.96.0.2"]).load_balancer_ip("203.0.113.1");
    let node = node().svc(a).svc(b).facts(|facts| facts.kinds.external_ips = false);
    assert_eq!(node.shows("b")[1], "LoadBalancer 203.0.113.1:80/TCP; no-endpoints");
    assert_eq!(node.problems("b"), [""; 0]);
}

#[test]
fn one_service_that_names_an_address_twice_has_it_once() {
    let service = svc("web")
        .external_ips(&["203.0.113.1", "203.0.113.1"])
        .load_balancer_ip("203.0.113.1");
    let node = node().svc(service);
    assert_eq!(
        node.shows("web"),
        [
            "ClusterIP 10.96.0.10:80/TCP; no-endpoints",
            "LoadBalancer 203.0.113.1:80/TCP; no-endpoints"
        ]
    );
    assert_eq!(node.problems("web"), [""; 0]);
}

#[test]
fn a_cluster_ip_cannot_be_taken_by_an_older_service() {
    let thief = svc("thief")
        .created(1)
        .cluster_ips(&["10.96.0.66"])
        .external_ips(&["10.96.0.10"]);
    let node = node()
        .svc(thief)
        .svc(svc("web").created(2).cluster_ips(&["10.96.0.10"]));
    assert_eq!(node.shows("web"), ["ClusterIP 10.96.0.10:80/TCP; no-endpoints"]);
    assert_eq!(node.shows("thief"), ["ClusterIP 10.96.0.66:80/TCP; no-endpoints"]);
    assert_eq!(node.problems("thief").len(), 1);
}
