//! Session affinity and source ranges.

use super::fixtures::{Node, Svc, node, svc};

#[test]
fn affinity_has_the_services_time_or_the_default() {
    for (rule, service, seconds) in [
        ("none", svc("web"), None),
        ("as the Service says", svc("web").client_ip_affinity(Some(60)), Some(60)),
        ("Kubernetes' default", svc("web").client_ip_affinity(None), Some(10_800)),
        (
            "nonsense is no time",
            svc("web").client_ip_affinity(Some(-1)),
            Some(10_800),
        ),
    ] {
        let suffix = seconds.map(|s| format!("; affinity {s} s")).unwrap_or_default();
        for shown in node().svc(service.node_port(30080)).shows("web") {
            assert!(shown.ends_with(&format!("; no-endpoints{suffix}")), "{rule}: {shown}");
        }
    }
}

#[test]
fn affinity_can_be_switched_off_and_says_so_where_it_cannot_be_had() {
    let sticky = || node().svc(svc("web").client_ip_affinity(Some(60)));
    let off = sticky().facts(|facts| facts.affinity_default_seconds = None);
    assert_eq!(off.shows("web"), ["ClusterIP 10.96.0.10:80/TCP; no-endpoints"]);
    assert_eq!(off.problems("web"), [""; 0], "the user wanted it so");

    let unable = sticky().facts(|facts| facts.capabilities.session_affinity = false);
    assert_eq!(unable.shows("web"), ["ClusterIP 10.96.0.10:80/TCP; no-endpoints"]);
    assert!(unable.problems("web")[0].starts_with("AffinityUnsupported: "));
}

fn ranges_of(service: Svc) -> Node {
    node().svc(service.external_ips(&["203.0.113.1"]).load_balancer_ip("198.51.100.1"))
}

#[test]
fn source_ranges_restrict_load_balancer_ips_only() {
    let node = ranges_of(
        svc("web")
            .node_port(30080)
            .source_ranges(&[" 192.0.2.0/24", "fd00::/64"]),
    );
    assert_eq!(
        node.shows("web"),
        [
            "NodePort 0.0.0.0:30080/TCP; no-endpoints",
            "ClusterIP 10.96.0.10:80/TCP; no-endpoints",
            "LoadBalancer 198.51.100.1:80/TCP; no-endpoints; from 192.0.2.0/24",
            "ExternalIP 203.0.113.1:80/TCP; no-endpoints",
        ]
    );
}

#[test]
fn ranges_of_the_other_family_only_mean_everyone() {
    let node = ranges_of(svc("web").source_ranges(&["fd00::/64"]));
    assert_eq!(node.shows("web")[1], "LoadBalancer 198.51.100.1:80/TCP; no-endpoints");
}

#[test]
fn a_range_with_the_node_inside_lets_the_load_balancer_ip_itself_in() {
    const LB: &str = "LoadBalancer 198.51.100.1:80/TCP; no-endpoints";
    for (rule, ranges, shown) in [
        (
            "the node is inside",
            &["192.168.0.0/16"][..],
            "; from 192.168.0.0/16; from 198.51.100.1/32",
        ),
        ("the node is outside", &["192.0.2.0/24"], "; from 192.0.2.0/24"),
        (
            "the IP is inside anyway",
            &["192.168.0.0/16", "198.51.100.0/24"],
            "; from 192.168.0.0/16; from 198.51.100.0/24",
        ),
        ("everyone is inside", &[], ""),
    ] {
        let node = ranges_of(svc("web").source_ranges(ranges));
        let node = node.facts(|facts| facts.ips = vec!["192.168.49.2".parse().unwrap()]);
        assert_eq!(node.shows("web")[1], format!("{LB}{shown}"), "{rule}");
    }
}

#[test]
fn ranges_that_cannot_be_enforced_or_read_withhold_the_load_balancer_ip() {
    let unable = ranges_of(svc("web").source_ranges(&["192.0.2.0/24"]));
    let unable = unable.facts(|facts| facts.capabilities.source_ranges = false);
    let unread = ranges_of(svc("web").source_ranges(&["192.0.2.0/24", "nonsense"]));
    for (node, reason) in [(unable, "SourceRangesUnsupported"), (unread, "InvalidSourceRange")] {
        assert_eq!(
            node.shows("web"),
            [
                "ClusterIP 10.96.0.10:80/TCP; no-endpoints",
                "ExternalIP 203.0.113.1:80/TCP; no-endpoints"
            ],
            "{reason}"
        );
        let problems = node.problems("web");
        assert!(problems[0].starts_with(&format!("{reason}: ")), "{problems:?}");
    }
}
