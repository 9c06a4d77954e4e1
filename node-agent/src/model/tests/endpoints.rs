//! How endpoints are gathered from slices.

use super::fixtures::{Ep, Node, Slice, ep, named, node, slice, svc};
use crate::model::input::{LABEL_HEADLESS, LABEL_PROXY_NAME, SliceInput, WhyIgnored};

fn cluster(slices: impl IntoIterator<Item = Slice>) -> String {
    slices
        .into_iter()
        .fold(node().svc(svc("web")), Node::slice)
        .cluster("web")
}

#[test]
fn slices_that_are_skipped() {
    let pod = || slice("web-1", "web").with([ep("10.244.1.5")]);
    for (rule, slice, why) in [
        ("no service label", pod().unlabeled(), WhyIgnored::NoService),
        ("host names", pod().address_type("FQDN"), WhyIgnored::NotAddresses),
        (
            "label of another proxy",
            pod().label(LABEL_PROXY_NAME),
            WhyIgnored::OtherProxy,
        ),
        ("headless label", pod().label(LABEL_HEADLESS), WhyIgnored::Headless),
    ] {
        let name = named("web-1");
        assert_eq!(slice.parse(), SliceInput::Ignored { name, why }, "{rule}");
        assert_eq!(cluster([slice]), "", "{rule}");
    }
}

#[test]
fn several_addresses_and_ports_across_slices_of_one_service() {
    assert_eq!(
        cluster([
            slice("web-b", "web")
                .no_ports()
                .port("http", 9090)
                .with([ep("10.244.1.6"), ep("10.244.0.7")]),
            slice("web-a", "web").with([ep("10.244.1.5")]),
        ]),
        "10.244.0.7:9090 10.244.1.5:8080 10.244.1.6:9090"
    );
}

#[test]
fn target_ports_come_from_slices_by_name_and_protocol() {
    let pods = || slice("web-1", "web").no_ports().with([ep("10.244.1.5")]);
    for (rule, slice, backends) in [
        ("same name", pods().port("http", 8080), "10.244.1.5:8080"),
        ("other name", pods().port("https", 8443), ""),
        (
            "other protocol",
            pods().raw_port(Some("http"), Some(8080), Some("UDP")),
            "",
        ),
        (
            "no name is not the empty name",
            pods().raw_port(None, Some(8080), None),
            "",
        ),
        ("no number", pods().raw_port(Some("http"), None, None), ""),
        ("number 0", pods().port("http", 0), ""),
    ] {
        assert_eq!(cluster([slice]), backends, "{rule}");
    }
    let unnamed = node()
        .svc(svc("web").no_ports().port("", 80))
        .slice(pods().port("", 8080));
    assert_eq!(
        unnamed.cluster("web"),
        "10.244.1.5:8080",
        "an unnamed port matches the empty name"
    );
}

#[test]
fn only_the_first_address_of_an_endpoint_counts() {
    for (rule, addresses, backends) in [
        ("two", &["10.244.1.5", "10.244.1.6"][..], "10.244.1.5:8080"),
        ("none", &[], ""),
        ("other family", &["fd00::5", "10.244.1.5"], ""),
    ] {
        let pods = slice("web-1", "web").with([ep("").addresses(addresses)]);
        assert_eq!(cluster([pods]), backends, "{rule}");
    }
}

#[test]
fn conditions_that_are_not_set_mean_ready() {
    let pods = [
        ep("10.244.1.1"),
        ep("10.244.1.2").conditions(true, true, false),
        ep("10.244.1.3").unready(),
        ep("10.244.1.4").draining(),
    ];
    assert_eq!(
        cluster([slice("web-1", "web").with(pods)]),
        "10.244.1.1:8080 10.244.1.2:8080",
        "what is not ready, and what terminates, gets nothing new"
    );
}

#[test]
fn ready_and_terminating_is_plain_ready() {
    // publishNotReadyAddresses: the controller says ready, whatever the pod does.
    let pods = [ep("10.244.1.5").conditions(true, true, true)];
    assert_eq!(cluster([slice("web-1", "web").with(pods)]), "10.244.1.5:8080");
}

#[test]
fn the_same_endpoint_in_two_slices_counts_once() {
    let pod = || ep("10.244.1.5");
    for (rule, first, second, backends) in [
        ("equal", pod(), pod(), "10.244.1.5:8080"),
        (
            "what stays overrides what terminates",
            pod().draining(),
            pod(),
            "10.244.1.5:8080",
        ),
        (
            "what terminates never overrides",
            pod(),
            pod().draining(),
            "10.244.1.5:8080",
        ),
        ("not even what is not ready", pod().unready(), pod().draining(), ""),
        ("ready overrides unready", pod().unready(), pod(), "10.244.1.5:8080"),
        ("in either order", pod(), pod().unready(), "10.244.1.5:8080"),
        (
            "a mention on this node wins",
            pod(),
            pod().on("node-a"),
            "10.244.1.5:8080*",
        ),
    ] {
        let slices = |a: &Ep, b: &Ep| {
            [
                slice("web-1", "web").with([a.clone()]),
                slice("web-2", "web").with([b.clone()]),
            ]
        };
        assert_eq!(cluster(slices(&first, &second)), backends, "{rule}");
    }
}

#[test]
fn an_endpoint_moves_between_slices() {
    let node = node()
        .svc(svc("web"))
        .slice(slice("web-1", "web").with([ep("10.244.1.5")]));
    let node = node.slice(slice("web-2", "web").with([ep("10.244.1.5")]));
    assert_eq!(node.cluster("web"), "10.244.1.5:8080");
    let node = node.slice(slice("web-1", "web"));
    assert_eq!(node.cluster("web"), "10.244.1.5:8080");
}

#[test]
fn a_slice_moves_to_another_service() {
    let mut node = node()
        .svc(svc("web"))
        .svc(svc("other").cluster_ips(&["10.96.0.11"]))
        .slice(slice("s", "web").with([ep("10.244.1.5")]));
    node.index.take_dirty();
    let mut node = node.slice(slice("s", "other").with([ep("10.244.1.5")]));
    assert_eq!(
        (node.cluster("web"), node.cluster("other")),
        (String::new(), "10.244.1.5:8080".into())
    );
    assert_eq!(node.index.take_dirty(), [named("other"), named("web")].into());
}

#[test]
fn services_without_selector_are_served_from_hand_written_slices() {
    // Such slices have no nodeName: their endpoints are nowhere, so never local.
    let by_hand = slice("by-hand", "web").with([ep("192.0.2.7").on("")]);
    let node = node().svc(svc("web").internal_local()).slice(by_hand);
    assert_eq!(node.shows("web"), ["ClusterIP 10.96.0.10:80/TCP; internal-local"]);
}

#[test]
fn what_services_say_about_a_shared_endpoint_does_not_depend_on_who_is_asked() {
    // While controllers catch up, one slice may say "terminating" and another not yet.
    let mut node = node()
        .svc(svc("a").cluster_ips(&["10.96.0.11"]))
        .svc(svc("b").cluster_ips(&["10.96.0.12"]))
        .slice(slice("a-1", "a").with([ep("10.244.0.5").on("node-a")]))
        .slice(slice("b-1", "b").with([ep("10.244.0.5").on("node-a")]));
    assert_eq!(
        (node.cluster("a"), node.cluster("b")),
        ("10.244.0.5:8080*".into(), "10.244.0.5:8080*".into())
    );
    node.index.take_dirty();

    let mut node = node.slice(slice("a-1", "a").with([ep("10.244.0.5").on("node-a").draining()]));
    assert_eq!(node.cluster("a"), "10.244.0.5:8080*", "b says that it stays");
    node.index.take_dirty();

    let mut node = node.slice(slice("b-1", "b").with([ep("10.244.0.5").on("node-a").draining()]));
    assert_eq!(node.cluster("a"), "10.244.0.5:8080*~");
    assert_eq!(
        node.index.take_dirty(),
        [named("a"), named("b")].into(),
        "b's change concerns a"
    );
}

#[test]
fn an_address_given_to_a_new_pod_is_judged_by_the_new_one() {
    let node = node()
        .svc(svc("old").cluster_ips(&["10.96.0.11"]))
        .svc(svc("new").cluster_ips(&["10.96.0.12"]))
        .slice(slice("old-1", "old").with([ep("10.244.0.5").on("node-a").draining()]))
        .slice(slice("new-1", "new").with([ep("10.244.0.5").on("node-b")]));
    assert_eq!(node.cluster("new"), "10.244.0.5:8080", "it is on node-b now");
}
