//! `networking.go`: what concerns Services.

use super::{
    Cover::{self, NotApplicable, Test},
    Title,
};

pub(super) const TITLES: &[Title] = &[
    title(
        "should check kube-proxy urls",
        Test("health", "every_node_answers_kube_proxys_urls"),
    ),
    here(
        "should function for pod-Service: http",
        "pods_reach_every_endpoint_by_http",
    ),
    here(
        "should function for pod-Service: udp",
        "pods_reach_every_endpoint_by_udp",
    ),
    title(
        "should function for pod-Service: sctp",
        Test("sctp", "pods_reach_the_cluster_ip_over_sctp"),
    ),
    here(
        "should function for node-Service: http",
        "nodes_reach_every_endpoint_by_http",
    ),
    here(
        "should function for node-Service: udp",
        "nodes_reach_every_endpoint_by_udp",
    ),
    title(
        "should function for node-Service: sctp",
        NotApplicable(
            "not served: no socket hook sees SCTP, and what a node itself sends passes no pod's device; \
             pods and clients outside are served",
        ),
    ),
    here(
        "should function for endpoint-Service: http",
        "endpoints_reach_every_endpoint_by_http",
    ),
    here(
        "should function for endpoint-Service: udp",
        "endpoints_reach_every_endpoint_by_udp",
    ),
    title(
        "should function for endpoint-Service: sctp",
        Test("sctp", "a_pod_reaches_itself_over_sctp"),
    ),
    here(
        "should function for multiple endpoint-Services with same selector",
        "two_services_with_the_same_selector_live_apart",
    ),
    here("should update endpoints: http", "endpoints_are_updated_for_http"),
    here("should update endpoints: udp", "endpoints_are_updated_for_udp"),
    here("should update nodePort: http", "a_deleted_node_port_is_dead_for_http"),
    here(
        "should support basic nodePort: udp functionality",
        "node_ports_work_for_udp",
    ),
    here("should update nodePort: udp", "a_deleted_node_port_is_dead_for_udp"),
    here(
        "should function for client IP based session affinity: http",
        "session_affinity_works_for_http",
    ),
    here(
        "should function for client IP based session affinity: udp",
        "session_affinity_works_for_udp",
    ),
    here(
        "should be able to handle large requests: http",
        "large_requests_pass_by_http",
    ),
    here(
        "should be able to handle large requests: udp",
        "large_requests_pass_by_udp",
    ),
    here(
        "should function for service endpoints using hostNetwork",
        "endpoints_in_the_nodes_network_are_reached",
    ),
    here(
        "should recreate its iptables rules if they are deleted",
        "what_is_deleted_by_hand_comes_back",
    ),
];

const fn here(upstream: &'static str, test: &'static str) -> Title {
    title(upstream, Test("conformance_networking", test))
}

const fn title(upstream: &'static str, cover: Cover) -> Title {
    Title {
        upstream,
        conformance: false,
        cover,
    }
}
