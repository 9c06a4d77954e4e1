//! `loadbalancer.go`.

use super::{
    Cover::{self, NotApplicable, Test},
    Title,
};

pub(super) const TITLES: &[Title] = &[
    title(
        "should be able to change the type and ports of a TCP service",
        here("type_and_ports_of_a_tcp_service_change"),
    ),
    title(
        "should be able to change the type and ports of a UDP service",
        here("type_and_ports_of_a_udp_service_change"),
    ),
    title(
        "should only allow access from service loadbalancer source ranges",
        Test("source_ranges", "only_clients_inside_the_ranges_are_let_in"),
    ),
    title(
        "should have session affinity work for LoadBalancer service with ESIPP on",
        here("session_affinity_works_with_esipp_on"),
    ),
    title(
        "should be able to switch session affinity for LoadBalancer service with ESIPP on",
        here("session_affinity_can_be_switched_with_esipp_on"),
    ),
    title(
        "should have session affinity work for LoadBalancer service with ESIPP off",
        here("session_affinity_works_with_esipp_off"),
    ),
    title(
        "should be able to switch session affinity for LoadBalancer service with ESIPP off",
        here("session_affinity_can_be_switched_with_esipp_off"),
    ),
    title(
        "should handle load balancer cleanup finalizer for service",
        NotApplicable(
            "the finalizer is the cloud's service controller's; kpr serves an address as long as it stands in the status",
        ),
    ),
    title(
        "should be able to create LoadBalancer Service without NodePort and change it",
        here("a_service_without_node_ports_is_served_and_gets_them_later"),
    ),
    title(
        "should be able to preserve UDP traffic when server pod cycles for a LoadBalancer service on different nodes",
        here("server_pod_cycles_on_different_nodes"),
    ),
    title(
        "should be able to preserve UDP traffic when server pod cycles for a LoadBalancer service on the same nodes",
        here("server_pod_cycles_on_the_same_node"),
    ),
    title(
        "should not have connectivity disruption during rolling update with externalTrafficPolicy=Cluster",
        here("rolling_update_with_policy_cluster_fails_no_request"),
    ),
    title(
        "should not have connectivity disruption during rolling update with externalTrafficPolicy=Local",
        here("rolling_update_with_policy_local_fails_no_request"),
    ),
    title(
        "should work for type=LoadBalancer",
        Test("health", "the_health_check_port_is_closed_after_the_type_changes"),
    ),
    title(
        "should work for type=NodePort",
        here("node_ports_with_policy_local_preserve_the_client"),
    ),
    title(
        "should only target nodes with endpoints",
        Test("health", "only_nodes_with_endpoints_pass_the_health_check"),
    ),
    title(
        "should work from pods",
        here("pods_reach_it_with_policy_local_from_any_node"),
    ),
    title(
        "should handle updates to ExternalTrafficPolicy field",
        Test("health", "the_health_check_follows_the_external_traffic_policy"),
    ),
];

const fn here(test: &'static str) -> Cover {
    Test("conformance_load_balancers", test)
}

const fn title(upstream: &'static str, cover: Cover) -> Title {
    Title {
        upstream,
        conformance: false,
        cover,
    }
}
