//! Topology hints: which of the ready endpoints the cluster list takes (KEP-2433, KEP-3015, KEP-4444).

use super::fixtures::{Ep, ep, node, slice, svc};

const ALL: &str = "10.0.0.1:8080 10.0.0.2:8080";

fn cluster(pods: Vec<Ep>) -> String {
    node()
        .svc(svc("web"))
        .slice(slice("web-1", "web").with(pods))
        .cluster("web")
}

#[test]
fn hints_narrow_the_cluster_list() {
    let pod = |n: u8| ep(&format!("10.0.0.{n}"));
    for (rule, pods, backends) in [
        (
            "zone: all hinted, one for us",
            vec![pod(1).for_zones(&["zone-1"]), pod(2).for_zones(&["zone-2"])],
            "10.0.0.1:8080",
        ),
        (
            "zone: an endpoint may serve several",
            vec![pod(1).for_zones(&["zone-2", "zone-1"]), pod(2).for_zones(&["zone-2"])],
            "10.0.0.1:8080",
        ),
        (
            "zone: one without hint disables them",
            vec![pod(1).for_zones(&["zone-1"]), pod(2)],
            ALL,
        ),
        (
            "zone: none for us",
            vec![pod(1).for_zones(&["zone-2"]), pod(2).for_zones(&["zone-3"])],
            ALL,
        ),
        (
            "zone: an unready one needs no hint",
            vec![pod(1).for_zones(&["zone-1"]), pod(2).unready()],
            "10.0.0.1:8080",
        ),
        (
            "node: all hinted, one for us",
            vec![pod(1).for_nodes(&["node-a"]), pod(2).for_nodes(&["node-b"])],
            "10.0.0.1:8080",
        ),
        (
            "node before zone",
            vec![
                pod(1).for_nodes(&["node-b"]).for_zones(&["zone-1"]),
                pod(2).for_nodes(&["node-a"]).for_zones(&["zone-1"]),
            ],
            "10.0.0.2:8080",
        ),
        (
            "zone where no node hint is for us",
            vec![
                pod(1).for_nodes(&["node-b"]).for_zones(&["zone-1"]),
                pod(2).for_nodes(&["node-c"]).for_zones(&["zone-2"]),
            ],
            "10.0.0.1:8080",
        ),
    ] {
        assert_eq!(cluster(pods), backends, "{rule}");
    }
}

#[test]
fn a_node_without_zone_has_no_zone_hints() {
    let pods = [
        ep("10.0.0.1").for_zones(&["zone-1"]),
        ep("10.0.0.2").for_zones(&["zone-2"]),
    ];
    let node = node().svc(svc("web")).slice(slice("web-1", "web").with(pods));
    assert_eq!(node.facts(|facts| facts.zone = None).cluster("web"), ALL);
}

#[test]
fn hints_have_no_say_in_the_local_list() {
    let pods = [
        ep("10.0.0.1").on("node-a").for_zones(&["zone-2"]),
        ep("10.0.0.2").for_zones(&["zone-1"]),
    ];
    let node = node()
        .svc(svc("web").node_port(30080).external_local())
        .slice(slice("web-1", "web").with(pods));
    assert_eq!(
        node.shows("web")[0],
        "NodePort 0.0.0.0:30080/TCP -> 10.0.0.2:8080; local -> 10.0.0.1:8080*; external-local"
    );
}

#[test]
fn hints_do_not_matter_once_only_terminating_endpoints_are_left() {
    let pods = vec![
        ep("10.0.0.1").draining().for_zones(&["zone-1"]),
        ep("10.0.0.2").draining().for_zones(&["zone-2"]),
    ];
    assert_eq!(cluster(pods), "10.0.0.1:8080~ 10.0.0.2:8080~");
}
