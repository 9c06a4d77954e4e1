//! Traffic policies, and the fallback to terminating endpoints (KEP-2086, KEP-1669).

use super::fixtures::{Ep, ep, node, slice, svc};

/// Frontends of a Service with a NodePort, and these endpoints.
fn shows(internal_local: bool, external_local: bool, pods: &[Ep]) -> Vec<String> {
    let mut service = svc("web").node_port(30080);
    if internal_local {
        service = service.internal_local();
    }
    if external_local {
        service = service.external_local();
    }
    node()
        .svc(service)
        .slice(slice("web-1", "web").with(pods.to_vec()))
        .shows("web")
}

fn here(addr: &str) -> Ep {
    ep(addr).on("node-a")
}

#[test]
fn which_lists_each_combination_of_policies_needs() {
    let pods = [here("10.244.0.5"), ep("10.244.1.5")];
    let all = "10.244.0.5:8080* 10.244.1.5:8080";
    let local = "local -> 10.244.0.5:8080*";
    for (internal, external, node_port, cluster_ip) in [
        (false, false, format!("-> {all}"), format!("-> {all}")),
        (
            true,
            false,
            format!("-> {all}; {local}"),
            format!("-> {all}; {local}; internal-local"),
        ),
        // The cluster list too: pods and the node itself are served from it.
        (
            false,
            true,
            format!("-> {all}; {local}; external-local"),
            format!("-> {all}; {local}"),
        ),
        (
            true,
            true,
            format!("-> {all}; {local}; external-local"),
            format!("-> {all}; {local}; internal-local"),
        ),
    ] {
        assert_eq!(
            shows(internal, external, &pods),
            [
                format!("NodePort 0.0.0.0:30080/TCP {node_port}"),
                format!("ClusterIP 10.96.0.10:80/TCP {cluster_ip}"),
            ],
            "internal Local: {internal}, external Local: {external}"
        );
    }
}

#[test]
fn internal_policy_local_without_external_frontends_needs_no_cluster_list() {
    let node = node()
        .svc(svc("web").internal_local())
        .slice(slice("web-1", "web").with([here("10.244.0.5"), ep("10.244.1.5")]));
    assert_eq!(
        node.shows("web"),
        ["ClusterIP 10.96.0.10:80/TCP; local -> 10.244.0.5:8080*; internal-local"]
    );
}

#[test]
fn external_policy_local_without_external_frontends_means_nothing() {
    let node = node()
        .svc(svc("web").external_local())
        .slice(slice("web-1", "web").with([here("10.244.0.5"), ep("10.244.1.5")]));
    assert_eq!(
        node.shows("web"),
        ["ClusterIP 10.96.0.10:80/TCP -> 10.244.0.5:8080* 10.244.1.5:8080"]
    );
}

#[test]
fn external_policy_concerns_every_external_kind_and_not_the_cluster_ip() {
    let service = svc("web").node_port(30080).external_ips(&["203.0.113.1"]);
    let service = service.load_balancer_ip("198.51.100.1").external_local();
    let local = |text: &String| text.contains("external-local");
    let shows = node().svc(service).shows("web");
    assert_eq!(
        shows.iter().map(local).collect::<Vec<_>>(),
        [true, false, true, true],
        "{shows:?}"
    );
}

#[test]
fn the_cluster_list_falls_back_to_terminating_endpoints() {
    for (rule, pods, cluster) in [
        (
            "ready ones only",
            vec![ep("10.0.0.1"), ep("10.0.0.2").draining()],
            "10.0.0.1:8080",
        ),
        (
            "none ready: all that serve while they terminate",
            vec![
                ep("10.0.0.1").draining(),
                ep("10.0.0.2").draining(),
                ep("10.0.0.3").gone(),
            ],
            "10.0.0.1:8080~ 10.0.0.2:8080~",
        ),
        ("unready is no fallback", vec![ep("10.0.0.1").unready()], ""),
        (
            "serving without terminating is no fallback",
            vec![ep("10.0.0.1").conditions(false, true, false)],
            "",
        ),
        (
            "terminating without serving is no fallback",
            vec![ep("10.0.0.1").gone()],
            "",
        ),
    ] {
        let node = node().svc(svc("web")).slice(slice("web-1", "web").with(pods));
        assert_eq!(node.cluster("web"), cluster, "{rule}");
    }
}

#[test]
fn the_local_list_falls_back_on_its_own() {
    let local = |pods: Vec<Ep>| {
        let service = svc("web").internal_local();
        node().svc(service).slice(slice("web-1", "web").with(pods)).local("web")
    };
    for (rule, pods, backends) in [
        (
            "local and ready",
            vec![here("10.0.0.1"), here("10.0.0.2").draining()],
            "10.0.0.1:8080*",
        ),
        (
            "local and terminating, though another node has a ready one",
            vec![here("10.0.0.1").draining(), ep("10.0.0.2")],
            "10.0.0.1:8080*~",
        ),
        ("no local one at all", vec![ep("10.0.0.2")], ""),
        (
            "a local one that is gone",
            vec![here("10.0.0.1").gone(), ep("10.0.0.2")],
            "",
        ),
    ] {
        assert_eq!(local(pods), backends, "{rule}");
    }
}

#[test]
fn refuse_only_if_no_endpoint_is_usable_anywhere() {
    for (rule, pods, refuses) in [
        ("no endpoint", vec![], true),
        (
            "none usable",
            vec![ep("10.0.0.1").unready(), ep("10.0.0.2").gone()],
            true,
        ),
        ("a ready one elsewhere", vec![ep("10.0.0.1")], false),
        ("a terminating one elsewhere", vec![ep("10.0.0.1").draining()], false),
    ] {
        for shown in shows(true, true, &pods) {
            assert_eq!(shown.contains("no-endpoints"), refuses, "{rule}: {shown}");
        }
    }
}

#[test]
fn with_dsr_the_local_list_is_there_for_what_other_nodes_send() {
    let service = svc("web").node_port(30080);
    let node = node()
        .svc(service)
        .slice(slice("web-1", "web").with([here("10.244.0.5"), ep("10.244.1.5")]));
    let node = node.facts(|facts| facts.dsr_takers = Some(std::sync::Arc::default()));
    let lists = "-> 10.244.0.5:8080* 10.244.1.5:8080; local -> 10.244.0.5:8080*";
    assert_eq!(
        node.shows("web"),
        [
            format!("NodePort 0.0.0.0:30080/TCP {lists}"),
            format!("ClusterIP 10.96.0.10:80/TCP {lists}"),
        ]
    );
}
