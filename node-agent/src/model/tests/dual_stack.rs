//! Families never mix.

use kpr_abi::{V4, V6};

use super::fixtures::{ep, node, slice, svc};

#[test]
fn each_family_has_its_own_frontends_and_backends() {
    let service = svc("web")
        .cluster_ips(&["fd00:96::10", "10.96.0.10"])
        .node_port(30080)
        .external_ips(&["203.0.113.1", "2001:db8::1"])
        .load_balancer_ip("2001:db8::2")
        .source_ranges(&["192.0.2.0/24", "2001:db8:1::/48"]);
    let node = node()
        .svc(service)
        .slice(slice("web-4", "web").with([ep("10.244.1.5"), ep("fd00:244::6")]))
        .slice(
            slice("web-6", "web")
                .address_type("IPv6")
                .with([ep("fd00:244::5").on("node-a"), ep("10.244.1.6")]),
        );
    assert_eq!(
        node.shows_of::<V4>("web"),
        [
            "NodePort 0.0.0.0:30080/TCP -> 10.244.1.5:8080",
            "ClusterIP 10.96.0.10:80/TCP -> 10.244.1.5:8080",
            "ExternalIP 203.0.113.1:80/TCP -> 10.244.1.5:8080",
        ]
    );
    assert_eq!(
        node.shows_of::<V6>("web"),
        [
            "NodePort :::30080/TCP -> fd00:244::5:8080*",
            "ExternalIP 2001:db8::1:80/TCP -> fd00:244::5:8080*",
            "LoadBalancer 2001:db8::2:80/TCP -> fd00:244::5:8080*; from 2001:db8:1::/48",
            "ClusterIP fd00:96::10:80/TCP -> fd00:244::5:8080*",
        ]
    );
}

#[test]
fn a_service_without_cluster_ip_of_a_family_has_nothing_in_it() {
    let service = svc("web").node_port(30080).external_ips(&["2001:db8::1"]);
    let pods = slice("web-6", "web").address_type("IPv6").with([ep("fd00:244::5")]);
    let node = node().svc(service).slice(pods);
    assert_eq!(node.shows_of::<V6>("web"), [""; 0]);
    assert_eq!(
        node.shows_of::<V4>("web"),
        [
            "NodePort 0.0.0.0:30080/TCP; no-endpoints",
            "ClusterIP 10.96.0.10:80/TCP; no-endpoints"
        ]
    );
}

#[test]
fn policies_and_fallback_are_the_same_for_both() {
    let service = svc("web")
        .cluster_ips(&["10.96.0.10", "fd00:96::10"])
        .node_port(30080)
        .external_local();
    let node = node()
        .svc(service)
        .slice(slice("web-4", "web").with([ep("10.244.0.5").on("node-a").draining(), ep("10.244.1.5")]))
        .slice(
            slice("web-6", "web")
                .address_type("IPv6")
                .with([ep("fd00:244::5").on("node-a").draining(), ep("fd00:244:1::5")]),
        );
    assert_eq!(
        node.shows_of::<V4>("web")[0],
        "NodePort 0.0.0.0:30080/TCP -> 10.244.1.5:8080; local -> 10.244.0.5:8080*~; external-local"
    );
    assert_eq!(
        node.shows_of::<V6>("web")[0],
        "NodePort :::30080/TCP -> fd00:244:1::5:8080; local -> fd00:244::5:8080*~; external-local"
    );
}
