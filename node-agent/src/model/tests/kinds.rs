//! Which Services are served, and under which addresses and ports.

use kpr_abi::{TableSize, V4};

use super::fixtures::{Svc, ep, node, slice, svc};
use crate::model::{
    Kind,
    input::{LABEL_HEADLESS, LABEL_PROXY_NAME, ServiceInput, WhyIgnored},
    tests::fixtures::named,
};

fn shows(service: Svc) -> Vec<String> {
    let pod = slice("web-1", "web").with([ep("10.244.1.5")]);
    node().slice(pod).svc(service).shows("web")
}

#[test]
fn every_kind_of_frontend_leads_to_the_same_backends() {
    let all = svc("web")
        .kind("LoadBalancer")
        .node_port(30080)
        .external_ips(&["203.0.113.1"])
        .load_balancer_ip("198.51.100.1");
    assert_eq!(
        shows(all),
        [
            "NodePort 0.0.0.0:30080/TCP -> 10.244.1.5:8080",
            "ClusterIP 10.96.0.10:80/TCP -> 10.244.1.5:8080",
            "LoadBalancer 198.51.100.1:80/TCP -> 10.244.1.5:8080",
            "ExternalIP 203.0.113.1:80/TCP -> 10.244.1.5:8080",
        ]
    );
}

#[test]
fn maglev_is_for_what_several_nodes_get_packets_for() {
    let all = svc("web")
        .kind("LoadBalancer")
        .node_port(30080)
        .external_ips(&["203.0.113.1"])
        .load_balancer_ip("198.51.100.1");
    let size = TableSize::of(16_381);
    let node = node().svc(all).facts(|facts| facts.maglev = size);
    let desired = node.index.service::<V4>(&named("web"), &node.facts);
    let asked: Vec<_> = desired.frontends.iter().map(|f| (f.kind, f.maglev)).collect();
    assert_eq!(
        asked,
        [
            (Kind::NodePort, size),
            (Kind::ClusterIp, None),
            (Kind::LoadBalancer, size),
            (Kind::ExternalIp, size),
        ]
    );
    assert!(
        desired
            .frontends
            .iter()
            .all(|f| TableSize::named_by(f.flags()) == f.maglev)
    );
}

#[test]
fn services_that_are_skipped() {
    for (rule, service, why) in [
        (
            "clusterIP None",
            svc("web").cluster_ips(&["None"]),
            WhyIgnored::Headless,
        ),
        ("no clusterIP yet", svc("web").cluster_ips(&[]), WhyIgnored::Headless),
        ("empty clusterIP", svc("web").cluster_ips(&[""]), WhyIgnored::Headless),
        (
            "ExternalName, even with a clusterIP",
            svc("web").kind("ExternalName"),
            WhyIgnored::ExternalName,
        ),
        (
            "label of another proxy",
            svc("web").label(LABEL_PROXY_NAME),
            WhyIgnored::OtherProxy,
        ),
        ("headless label", svc("web").label(LABEL_HEADLESS), WhyIgnored::Headless),
    ] {
        let name = named("web");
        assert_eq!(service.parse(), ServiceInput::Ignored { name, why }, "{rule}");
        assert_eq!(shows(service), [""; 0], "{rule}");
    }
}

#[test]
fn opting_out_tears_down_and_opting_in_brings_back() {
    let mut node = node()
        .slice(slice("web-1", "web").with([ep("10.244.1.5")]))
        .svc(svc("web"));
    let served = node.shows("web");
    node.index.take_dirty();

    node = node.svc(svc("web").label(LABEL_PROXY_NAME));
    assert_eq!(node.shows("web"), [""; 0]);
    assert!(node.index.take_dirty().contains(&named("web")));

    node = node.svc(svc("web"));
    assert_eq!(node.shows("web"), served);
    assert!(node.index.take_dirty().contains(&named("web")));
}

#[test]
fn only_load_balancer_ips_of_mode_vip_are_served() {
    let served = "LoadBalancer 198.51.100.1:80/TCP -> 10.244.1.5:8080";
    for (rule, ip, mode, hostname, is_served) in [
        ("no mode means VIP", Some("198.51.100.1"), None, None, true),
        ("VIP", Some("198.51.100.1"), Some("VIP"), None, true),
        (
            "Proxy: the load balancer sees it first",
            Some("198.51.100.1"),
            Some("Proxy"),
            None,
            false,
        ),
        (
            "a mode that we do not know",
            Some("198.51.100.1"),
            Some("Other"),
            None,
            false,
        ),
        ("host name only", None, None, Some("lb.example.com"), false),
        ("empty IP", Some(""), None, Some("lb.example.com"), false),
        (
            "IP with host name",
            Some("198.51.100.1"),
            None,
            Some("lb.example.com"),
            true,
        ),
    ] {
        let frontends = shows(svc("web").kind("LoadBalancer").ingress(ip, mode, hostname));
        assert_eq!(
            frontends.iter().any(|f| f == served),
            is_served,
            "{rule}: {frontends:?}"
        );
    }
}

#[test]
fn the_type_of_a_service_does_not_matter_for_what_its_fields_ask() {
    // `allocateLoadBalancerNodePorts: false` is nothing but a NodePort of 0.
    assert_eq!(
        shows(svc("web").load_balancer_ip("198.51.100.1").node_port(0)),
        [
            "ClusterIP 10.96.0.10:80/TCP -> 10.244.1.5:8080",
            "LoadBalancer 198.51.100.1:80/TCP -> 10.244.1.5:8080",
        ]
    );
}

#[test]
fn tcp_and_udp_share_a_port_number() {
    let dns = svc("web").no_ports().port("dns", 53).protocol("UDP").node_port(30053);
    let dns = dns.port("dns-tcp", 53).protocol("TCP").node_port(30053);
    let pods = slice("web-1", "web")
        .no_ports()
        .raw_port(Some("dns"), Some(5353), Some("UDP"))
        .raw_port(Some("dns-tcp"), Some(5354), Some("TCP"))
        .with([ep("10.244.1.5")]);
    assert_eq!(
        node().svc(dns).slice(pods).shows("web"),
        [
            "NodePort 0.0.0.0:30053/TCP -> 10.244.1.5:5354",
            "NodePort 0.0.0.0:30053/UDP -> 10.244.1.5:5353",
            "ClusterIP 10.96.0.10:53/TCP -> 10.244.1.5:5354",
            "ClusterIP 10.96.0.10:53/UDP -> 10.244.1.5:5353",
        ]
    );
}

#[test]
fn sctp_is_withheld_and_reported_where_the_datapath_does_not_serve_it() {
    let service = svc("web").port("signal", 3868).protocol("SCTP");
    let pods = slice("web-1", "web").raw_port(Some("signal"), Some(3868), Some("SCTP"));
    let node = node().svc(service).slice(pods.with([ep("10.244.1.5")]));
    assert_eq!(
        node.shows("web")[1],
        "ClusterIP 10.96.0.10:3868/SCTP -> 10.244.1.5:3868",
        "with the capability it is as any other"
    );

    let node = node.facts(|facts| facts.capabilities.sctp = false);
    assert_eq!(node.shows("web"), ["ClusterIP 10.96.0.10:80/TCP -> 10.244.1.5:8080"]);
    assert_eq!(
        node.problems("web"),
        ["UnsupportedProtocol: port 3868 uses SCTP, which this node's datapath does not serve"]
    );
}

#[test]
fn mode_partial_serves_only_the_kinds_asked_for() {
    let service = svc("web")
        .node_port(30080)
        .external_ips(&["203.0.113.1"])
        .load_balancer_ip("198.51.100.1");
    let node = node().svc(service).facts(|facts| {
        facts.kinds.cluster_ip = false;
        facts.kinds.external_ips = false;
    });
    assert_eq!(
        node.shows("web"),
        [
            "NodePort 0.0.0.0:30080/TCP; no-endpoints",
            "LoadBalancer 198.51.100.1:80/TCP; no-endpoints"
        ]
    );
    assert_eq!(node.problems("web"), [""; 0], "kube-proxy has the rest");
}

#[test]
fn a_field_that_cannot_be_read_is_left_out_and_reported() {
    let service = svc("web")
        .external_ips(&["0.0.0.0", "203.0.113.1", "nonsense"])
        .port("big", 70_000)
        .port("odd", 81)
        .protocol("DCCP");
    let node = node().svc(service);
    assert_eq!(
        node.shows("web"),
        [
            "ClusterIP 10.96.0.10:80/TCP; no-endpoints",
            "ExternalIP 203.0.113.1:80/TCP; no-endpoints"
        ]
    );
    assert_eq!(
        node.problems("web"),
        [
            "InvalidAddress: spec.externalIPs: \"0.0.0.0\" is not a usable IP address; it is ignored",
            "InvalidAddress: spec.externalIPs: \"nonsense\" is not a usable IP address; it is ignored",
            "InvalidPort: spec.ports[].port: 70000 is not a port number; it is ignored",
            "UnknownProtocol: spec.ports[].protocol: unknown protocol \"DCCP\"; the port is ignored",
        ]
    );
}

#[test]
fn health_check_node_port_is_for_load_balancers_with_external_policy_local() {
    let lb = || svc("web").kind("LoadBalancer").health_check_node_port(32_000);
    for (rule, service, port) in [
        ("LoadBalancer and Local", lb().external_local(), Some(32_000)),
        ("LoadBalancer and Cluster", lb(), None),
        ("NodePort and Local", lb().kind("NodePort").external_local(), None),
    ] {
        let ServiceInput::Proxied(service) = service.parse() else {
            panic!("{rule}: not served");
        };
        assert_eq!(service.health_check_node_port, port, "{rule}");
    }
}
