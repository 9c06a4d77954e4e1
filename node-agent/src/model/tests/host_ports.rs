//! hostPorts of this node's Pods.

use kpr_abi::V6;
use serde_json::json;

use super::fixtures::{Node, Pod, ep, named, node, pod, slice, svc};
use crate::model::NamespacedName;

const WEB: &str = "pod/web";

fn shows(pod: Pod) -> Vec<String> {
    node().pod(pod).shows(WEB)
}

#[test]
fn a_host_port_leads_to_its_pod_on_any_address_of_the_node() {
    assert_eq!(
        shows(pod("web").host_port(8000)),
        ["HostPort 0.0.0.0:8000/TCP -> 10.244.0.9:8080*; local -> 10.244.0.9:8080*"]
    );
}

#[test]
fn each_family_of_the_pod_has_the_port_unless_the_host_ip_is_of_one() {
    let dual = |host_ip: serde_json::Value| {
        let port = json!({"containerPort": 53, "hostPort": 5353, "protocol": "UDP", "hostIP": host_ip});
        node().pod(pod("web").addresses(&["10.244.0.9", "fd00:244::9"]).port(port))
    };
    for (rule, host_ip, v4, v6) in [
        ("no hostIP", json!(null), "0.0.0.0:5353", "[::]:5353"),
        ("empty hostIP", json!(""), "0.0.0.0:5353", "[::]:5353"),
        ("any IPv4 address", json!("0.0.0.0"), "0.0.0.0:5353", ""),
        ("any IPv6 address", json!("::"), "", "[::]:5353"),
        ("one IPv4 address", json!("192.168.49.2"), "192.168.49.2:5353", ""),
        ("one IPv6 address", json!("fd00:49::2"), "", "[fd00:49::2]:5353"),
        ("loopback", json!("127.0.0.1"), "127.0.0.1:5353", ""),
    ] {
        let node = dual(host_ip);
        let shown = |text: &str, backend: &str| match text {
            "" => Vec::new(),
            // As `show` writes IPv6: without brackets.
            text => vec![format!(
                "HostPort {}/UDP -> {backend}*; local -> {backend}*",
                text.replace(['[', ']'], "")
            )],
        };
        assert_eq!(node.shows(WEB), shown(v4, "10.244.0.9:53"), "{rule}");
        assert_eq!(node.shows_of::<V6>(WEB), shown(v6, "fd00:244::9:53"), "{rule}");
        assert_eq!(node.problems(WEB), [""; 0], "{rule}");
    }
}

#[test]
fn only_running_pods_with_an_address_and_a_namespace_of_their_own_have_host_ports() {
    let serving = || pod("web").host_port(8000);
    for (rule, pod, served) in [
        ("running", serving(), 1),
        ("terminating: served until it is gone", serving().terminating(), 1),
        ("pending", serving().set("/status/phase", json!("Pending")), 0),
        ("succeeded", serving().set("/status/phase", json!("Succeeded")), 0),
        ("failed", serving().set("/status/phase", json!("Failed")), 0),
        ("without an address", serving().addresses(&[]), 0),
        (
            "in the node's own namespace",
            serving().set("/spec/hostNetwork", json!(true)),
            0,
        ),
        ("hostPort 0 is none", pod("web").host_port(0), 0),
        (
            "of a sidecar",
            pod("web").set(
                "/spec/initContainers",
                json!([{"name": "sidecar", "restartPolicy": "Always", "ports": [{"containerPort": 1, "hostPort": 2}]}]),
            ),
            1,
        ),
        (
            "of an init container, which is over",
            pod("web").set(
                "/spec/initContainers",
                json!([{"name": "init", "ports": [{"containerPort": 1, "hostPort": 2}]}]),
            ),
            0,
        ),
    ] {
        assert_eq!(shows(pod).len(), served, "{rule}");
    }
}

#[test]
fn a_pod_that_goes_takes_its_host_ports_along_and_one_that_comes_brings_its_own() {
    let mut node = node().pod(pod("web").host_port(8000));
    node.index.take_dirty();
    let name = NamespacedName::of_pod(&named("web"));
    node.index.delete_pod(&name);
    assert_eq!(node.index.take_dirty(), [name.clone()].into());
    assert_eq!(node.shows(WEB), [""; 0]);
    node.index.replace_pods([pod("web").host_port(8001).parse()]);
    assert_eq!(node.index.take_dirty(), [name.clone()].into());
    assert_eq!(node.shows(WEB).len(), 1);
    node.index.replace_pods([]);
    assert_eq!(node.index.take_dirty(), [name].into());
}

#[test]
fn the_addresses_of_every_pod_that_runs_are_known_until_it_goes() {
    let mut node = node().pod(pod("web").addresses(&["10.244.0.9", "fd00:244::9"]));
    let name = NamespacedName::of_pod(&named("web"));
    let known = |node: &Node| node.index.pod_addresses(&name).to_vec();
    assert_eq!(known(&node).len(), 2, "without hostPorts, too");
    node.index.apply_pod(pod("web").host_port(8000).parse());
    assert_eq!(known(&node), ["10.244.0.9".parse::<std::net::IpAddr>().unwrap()]);
    node.index
        .apply_pod(pod("web").set("/status/phase", json!("Succeeded")).parse());
    assert!(known(&node).is_empty(), "its address may be another's");
    node.index.replace_pods([pod("web").parse()]);
    assert_eq!(known(&node).len(), 1);
    node.index.replace_pods([]);
    assert!(known(&node).is_empty());
}

#[test]
fn a_node_port_of_the_same_number_comes_first_whatever_the_address_and_age() {
    let node_port = svc("db").created(9).node_port(30080);
    for (rule, pod) in [
        ("any address", pod("web").host_port(30080)),
        ("one address", pod("web").host_port_at("192.168.49.2", 30080)),
    ] {
        let mut node = node().pod(pod).svc(node_port.clone());
        assert_eq!(node.shows(WEB), [""; 0], "{rule}");
        let problems = node.problems(WEB);
        assert!(problems[0].starts_with("HostPortConflict: hostPort "), "{problems:?}");
        assert!(problems[0].ends_with("belongs to default/db; it is not served for this Pod"));
        assert_eq!(node.problems("db"), [""; 0], "{rule}");

        node.index.take_dirty();
        node.index.delete_service(&named("db"));
        let name = NamespacedName::of_pod(&named("web"));
        assert!(node.index.take_dirty().contains(&name), "{rule}: it is the Pod's turn");
        assert_eq!(node.shows(WEB).len(), 1, "{rule}");
    }
}

#[test]
fn other_protocols_numbers_and_kinds_that_are_off_are_no_conflict() {
    let node = node()
        .svc(
            svc("db")
                .node_port(30080)
                .port("dns", 53)
                .protocol("UDP")
                .node_port(30053),
        )
        .pod(pod("web").host_port(30053));
    assert_eq!(node.shows(WEB).len(), 1, "UDP and TCP");
    let node = node.pod(pod("web").host_port(30080));
    assert_eq!(node.shows(WEB).len(), 0);
    let node = node.facts(|facts| facts.kinds.node_port = false);
    assert_eq!(node.shows(WEB).len(), 1, "kube-proxy has the NodePort");
    let node = node.facts(|facts| facts.kinds.host_port = false);
    assert_eq!((node.shows(WEB).len(), node.problems(WEB)), (0, Vec::new()));
}

#[test]
fn of_two_pods_with_one_port_the_older_has_it_and_different_addresses_are_different_ports() {
    let (old, new) = (pod("old").host_port(8000), pod("new").created(2).host_port(8000));
    let node = node().pod(new).pod(old);
    assert_eq!((node.shows("pod/old").len(), node.shows("pod/new").len()), (1, 0));
    assert!(node.problems("pod/new")[0].contains("belongs to default/pod/old"));

    let node = super::fixtures::node()
        .pod(pod("old").host_port_at("127.0.0.1", 8000))
        .pod(pod("new").created(2).host_port_at("192.168.49.2", 8000));
    assert_eq!((node.shows("pod/old").len(), node.shows("pod/new").len()), (1, 1));
}

#[test]
fn a_field_that_cannot_be_read_is_left_out_and_reported() {
    let node = node().pod(
        pod("web")
            .host_port_at("nonsense", 8000)
            .host_port(8001)
            .port(json!({"containerPort": 1, "hostPort": 70_000}))
            .port(json!({"containerPort": 1, "hostPort": 1, "protocol": "DCCP"})),
    );
    assert_eq!(node.shows(WEB).len(), 1);
    let reasons: Vec<_> = node.problems(WEB).iter().map(|p| p[..12].to_owned()).collect();
    assert_eq!(reasons, ["InvalidAddre", "InvalidPort:", "UnknownProto"]);
}

#[test]
fn sctp_is_withheld_and_reported_where_the_datapath_does_not_serve_it() {
    let sctp = pod("web").port(json!({"containerPort": 1, "hostPort": 2, "protocol": "SCTP"}));
    let node = node().pod(sctp).facts(|facts| facts.capabilities.sctp = false);
    assert_eq!(node.shows(WEB), [""; 0]);
    assert_eq!(
        node.problems(WEB),
        ["UnsupportedProtocol: port 2 uses SCTP, which this node's datapath does not serve"]
    );
}

#[test]
fn a_backend_that_a_service_shares_has_the_same_flags_for_both() {
    let ep = |draining: bool| {
        let ep = ep("10.244.0.9").on("node-a");
        if draining { ep.draining() } else { ep }
    };
    let mut node = node()
        .svc(svc("web"))
        .slice(slice("web-1", "web").with([ep(true)]))
        .pod(pod("web").host_port(8000).terminating());
    assert_eq!(node.cluster("web"), "10.244.0.9:8080*~");
    assert!(node.shows(WEB)[0].contains("-> 10.244.0.9:8080*~;"));
    node.index.take_dirty();
    // The slice lags behind a pod that has taken the address over.
    node = node.pod(pod("web").host_port(8000));
    assert_eq!(node.cluster("web"), "10.244.0.9:8080*");
    let name = NamespacedName::of_pod(&named("web"));
    assert_eq!(node.index.take_dirty(), [named("web"), name].into());
}

#[test]
fn sockets_that_host_ports_led_to_a_pod_are_in_use() {
    let udp = pod("web").port(json!({"containerPort": 53, "hostPort": 5353, "protocol": "UDP"}));
    let node = node().pod(udp);
    let serving: Vec<_> = node.index.serving_udp().map(|addr| addr.to_string()).collect();
    assert_eq!(serving, ["10.244.0.9:53"]);
    assert_eq!(node.index.serving_udp_of([].iter()).count(), 0);
}
