//! `conntrack.go`.

use super::{Cover::Test, Title};

pub(super) const TITLES: &[Title] = &[
    title(
        "should be able to preserve UDP traffic when server pod cycles for a NodePort service",
        "server_pod_cycles_for_a_node_port_service",
    ),
    title(
        "should be able to preserve UDP traffic when server pod cycles for a ClusterIP service",
        "server_pod_cycles_for_a_cluster_ip_service",
    ),
    title(
        "should be able to preserve UDP traffic when server pod cycles for a ClusterIP service with InternalTrafficPolicy set to Local",
        "server_pod_cycles_for_a_cluster_ip_service_with_internal_traffic_policy_local",
    ),
    title(
        "should be able to preserve UDP traffic when server pod cycles for a ClusterIP service and client is hostNetwork",
        "server_pod_cycles_for_a_cluster_ip_service_and_client_is_host_network",
    ),
    title(
        "should be able to preserve UDP traffic when initial unready endpoints get ready",
        "initial_unready_endpoints_get_ready",
    ),
    Title {
        upstream: "should drop INVALID conntrack entries",
        conformance: false,
        cover: Test("conformance_networking", "segments_out_of_the_window_reset_nothing"),
    },
];

const fn title(upstream: &'static str, test: &'static str) -> Title {
    Title {
        upstream,
        conformance: false,
        cover: Test("stale_udp", test),
    }
}
