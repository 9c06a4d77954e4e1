//! What frontends are called.

use super::fixtures::{Node, node, pod, svc};
use crate::model::Kinds;

/// Each frontend and whose it is, in order.
fn owners(node: &Node) -> Vec<String> {
    let owners = node.index.owners(node.facts.kinds);
    let mut owners: Vec<_> = owners
        .map(|owner| format!("{}/{} {}", owner.frontend, owner.protocol, owner.port))
        .collect();
    owners.sort();
    owners
}

#[test]
fn every_frontend_is_called_after_its_service_and_port_or_its_pod() {
    let node = node()
        .svc(
            svc("web")
                .cluster_ips(&["10.96.0.1", "fd00:96::1"])
                .external_ips(&["203.0.113.1"]),
        )
        .pod(pod("ingress").host_port(8443));
    assert_eq!(
        owners(&node),
        [
            "0.0.0.0:8443/TCP default/pod/ingress:8443/TCP",
            "10.96.0.1:80/TCP default/web:http",
            "203.0.113.1:80/TCP default/web:http",
            "[fd00:96::1]:80/TCP default/web:http",
        ]
    );
}

#[test]
fn a_frontend_that_two_services_name_is_called_after_the_one_that_has_it() {
    let claims = |name, ip| svc(name).cluster_ips(&[ip]).external_ips(&["203.0.113.1"]);
    let node = node()
        .svc(claims("a", "10.96.0.1").created(2))
        .svc(claims("b", "10.96.0.2").created(1));
    let shared = owners(&node).into_iter().find(|owner| owner.starts_with("203."));
    assert_eq!(shared.as_deref(), Some("203.0.113.1:80/TCP default/b:http"));
}

#[test]
fn kinds_that_are_left_to_kube_proxy_have_no_name() {
    let only_cluster_ips = Kinds {
        external_ips: false,
        ..node().facts.kinds
    };
    let node = node()
        .svc(svc("web").cluster_ips(&["10.96.0.1"]).external_ips(&["203.0.113.1"]))
        .facts(|facts| facts.kinds = only_cluster_ips);
    assert_eq!(owners(&node), ["10.96.0.1:80/TCP default/web:http"]);
}
