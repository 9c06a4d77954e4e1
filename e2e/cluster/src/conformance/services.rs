//! `service.go`.

use super::{Cover::Test, Title};

pub(super) const TITLES: &[Title] = &[
    Title {
        upstream: "should provide secure master service",
        conformance: true,
        cover: Test("conformance_services", "should_provide_secure_master_service"),
    },
    Title {
        upstream: "should serve a basic endpoint from pods",
        conformance: true,
        cover: Test("conformance_services", "should_serve_a_basic_endpoint_from_pods"),
    },
    Title {
        upstream: "should serve multiport endpoints from pods",
        conformance: true,
        cover: Test("conformance_services", "should_serve_multiport_endpoints_from_pods"),
    },
    Title {
        upstream: "should be updated after adding or deleting ports",
        conformance: false,
        cover: Test(
            "conformance_services",
            "should_be_updated_after_adding_or_deleting_ports",
        ),
    },
    Title {
        upstream: "should preserve source pod IP for traffic thru service cluster IP",
        conformance: false,
        cover: Test(
            "conformance_services",
            "should_preserve_source_pod_ip_for_traffic_thru_service_cluster_ip",
        ),
    },
    Title {
        upstream: "should allow pods to hairpin back to themselves through services",
        conformance: false,
        cover: Test("cluster_ip", "a_pod_reaches_itself"),
    },
    Title {
        upstream: "should be able to up and down services",
        conformance: false,
        cover: Test("conformance_services", "should_be_able_to_up_and_down_services"),
    },
    Title {
        upstream: "should work after the service has been recreated",
        conformance: false,
        cover: Test(
            "conformance_services",
            "should_work_after_the_service_has_been_recreated",
        ),
    },
    Title {
        upstream: "should work after restarting kube-proxy",
        conformance: false,
        cover: Test("conformance_services", "should_work_after_restarting_kube_proxy"),
    },
    Title {
        upstream: "should work after restarting apiserver",
        conformance: false,
        cover: Test("conformance_services", "should_work_after_restarting_apiserver"),
    },
    Title {
        upstream: "should be able to create a functioning NodePort service",
        conformance: true,
        cover: Test(
            "conformance_services",
            "should_be_able_to_create_a_functioning_node_port_service",
        ),
    },
    Title {
        upstream: "should be possible to connect to a service via ExternalIP when the external IP is not assigned to a node",
        conformance: false,
        cover: Test(
            "conformance_services",
            "should_be_possible_to_connect_to_a_service_via_external_ip_when_the_external_ip_is_not_assigned_to_a_node",
        ),
    },
    Title {
        upstream: "should be able to update service type to NodePort listening on same port number but different protocols",
        conformance: false,
        cover: Test(
            "conformance_services",
            "should_be_able_to_update_service_type_to_node_port_listening_on_same_port_number_but_different_protocols",
        ),
    },
    Title {
        upstream: "should be able to change the type from ExternalName to ClusterIP",
        conformance: true,
        cover: Test(
            "conformance_services",
            "should_be_able_to_change_the_type_from_external_name_to_cluster_ip",
        ),
    },
    Title {
        upstream: "should be able to change the type from ExternalName to NodePort",
        conformance: true,
        cover: Test(
            "conformance_services",
            "should_be_able_to_change_the_type_from_external_name_to_node_port",
        ),
    },
    Title {
        upstream: "should be able to change the type from ClusterIP to ExternalName",
        conformance: true,
        cover: Test(
            "conformance_services",
            "should_be_able_to_change_the_type_from_cluster_ip_to_external_name",
        ),
    },
    Title {
        upstream: "should be able to change the type from NodePort to ExternalName",
        conformance: true,
        cover: Test(
            "conformance_services",
            "should_be_able_to_change_the_type_from_node_port_to_external_name",
        ),
    },
    Title {
        upstream: "should prevent NodePort collisions",
        conformance: false,
        cover: Test("conformance_services", "should_prevent_node_port_collisions"),
    },
    Title {
        upstream: "should check NodePort out-of-range",
        conformance: false,
        cover: Test("conformance_services", "should_check_node_port_out_of_range"),
    },
    Title {
        upstream: "should release NodePorts on delete",
        conformance: false,
        cover: Test("conformance_services", "should_release_node_ports_on_delete"),
    },
    Title {
        upstream: "should create endpoints for unready pods",
        conformance: false,
        cover: Test("conformance_services", "should_create_endpoints_for_unready_pods"),
    },
    Title {
        upstream: "should be able to connect to terminating and unready endpoints if PublishNotReadyAddresses is true",
        conformance: false,
        cover: Test(
            "conformance_services",
            "should_be_able_to_connect_to_terminating_and_unready_endpoints_if_publish_not_ready_addresses_is_true",
        ),
    },
    Title {
        upstream: "should not be able to connect to terminating and unready endpoints if PublishNotReadyAddresses is false",
        conformance: false,
        cover: Test(
            "conformance_services",
            "should_not_be_able_to_connect_to_terminating_and_unready_endpoints_if_publish_not_ready_addresses_is_false",
        ),
    },
    Title {
        upstream: "should have session affinity work for service with type clusterIP",
        conformance: true,
        cover: Test(
            "conformance_affinity",
            "should_have_session_affinity_work_for_service_with_type_cluster_ip",
        ),
    },
    Title {
        upstream: "should have session affinity timeout work for service with type clusterIP",
        conformance: false,
        cover: Test(
            "conformance_affinity",
            "should_have_session_affinity_timeout_work_for_service_with_type_cluster_ip",
        ),
    },
    Title {
        upstream: "should be able to switch session affinity for service with type clusterIP",
        conformance: true,
        cover: Test(
            "conformance_affinity",
            "should_be_able_to_switch_session_affinity_for_service_with_type_cluster_ip",
        ),
    },
    Title {
        upstream: "should have session affinity work for NodePort service",
        conformance: true,
        cover: Test(
            "conformance_affinity",
            "should_have_session_affinity_work_for_node_port_service",
        ),
    },
    Title {
        upstream: "should have session affinity timeout work for NodePort service",
        conformance: false,
        cover: Test(
            "conformance_affinity",
            "should_have_session_affinity_timeout_work_for_node_port_service",
        ),
    },
    Title {
        upstream: "should be able to switch session affinity for NodePort service",
        conformance: true,
        cover: Test(
            "conformance_affinity",
            "should_be_able_to_switch_session_affinity_for_node_port_service",
        ),
    },
    Title {
        upstream: "should implement service.kubernetes.io/service-proxy-name",
        conformance: false,
        cover: Test("conformance_services", "should_implement_service_proxy_name"),
    },
    Title {
        upstream: "should implement service.kubernetes.io/headless",
        conformance: false,
        cover: Test("conformance_services", "should_implement_headless"),
    },
    Title {
        upstream: "should be rejected when no endpoints exist",
        conformance: false,
        cover: Test("cluster_ip", "a_service_without_endpoints_refuses"),
    },
    Title {
        upstream: "should be rejected for evicted pods (no endpoints exist)",
        conformance: false,
        cover: Test(
            "conformance_services",
            "should_be_rejected_for_evicted_pods_no_endpoints_exist",
        ),
    },
    Title {
        upstream: "should respect internalTrafficPolicy=Local Pod to Pod",
        conformance: false,
        cover: Test(
            "conformance_policies",
            "should_respect_internal_traffic_policy_local_pod_to_pod",
        ),
    },
    Title {
        upstream: "should respect internalTrafficPolicy=Local Pod (hostNetwork: true) to Pod",
        conformance: false,
        cover: Test(
            "conformance_policies",
            "should_respect_internal_traffic_policy_local_pod_host_network_true_to_pod",
        ),
    },
    Title {
        upstream: "should respect internalTrafficPolicy=Local Pod and Node, to Pod (hostNetwork: true)",
        conformance: false,
        cover: Test(
            "conformance_policies",
            "should_respect_internal_traffic_policy_local_pod_and_node_to_pod_host_network_true",
        ),
    },
    Title {
        upstream: "should fail health check node port if there are only terminating endpoints",
        conformance: false,
        cover: Test("health", "only_terminating_endpoints_fail_the_health_check_and_serve"),
    },
    Title {
        upstream: "should fallback to terminating endpoints when there are no ready endpoints with internalTrafficPolicy=Cluster",
        conformance: false,
        cover: Test(
            "conformance_policies",
            "should_fallback_to_terminating_endpoints_when_there_are_no_ready_endpoints_with_internal_traffic_policy_cluster",
        ),
    },
    Title {
        upstream: "should fallback to local terminating endpoints when there are no ready endpoints with internalTrafficPolicy=Local",
        conformance: false,
        cover: Test(
            "conformance_policies",
            "should_fallback_to_local_terminating_endpoints_when_there_are_no_ready_endpoints_with_internal_traffic_policy_local",
        ),
    },
    Title {
        upstream: "should fallback to terminating endpoints when there are no ready endpoints with externallTrafficPolicy=Cluster",
        conformance: false,
        cover: Test(
            "conformance_policies",
            "should_fallback_to_terminating_endpoints_when_there_are_no_ready_endpoints_with_external_traffic_policy_cluster",
        ),
    },
    Title {
        upstream: "should fallback to local terminating endpoints when there are no ready endpoints with externalTrafficPolicy=Local",
        conformance: false,
        cover: Test(
            "conformance_policies",
            "should_fallback_to_local_terminating_endpoints_when_there_are_no_ready_endpoints_with_external_traffic_policy_local",
        ),
    },
    Title {
        upstream: "should find a service from listing all namespaces",
        conformance: true,
        cover: Test(
            "conformance_services",
            "should_find_a_service_from_listing_all_namespaces",
        ),
    },
    Title {
        upstream: "should test the lifecycle of an Endpoint",
        conformance: true,
        cover: Test("conformance_services", "should_test_the_lifecycle_of_an_endpoint"),
    },
    Title {
        upstream: "should complete a service status lifecycle",
        conformance: true,
        cover: Test("conformance_services", "should_complete_a_service_status_lifecycle"),
    },
    Title {
        upstream: "should delete a collection of services",
        conformance: true,
        cover: Test("conformance_services", "should_delete_a_collection_of_services"),
    },
    Title {
        upstream: "should serve endpoints on same port and different protocols",
        conformance: true,
        cover: Test(
            "conformance_services",
            "should_serve_endpoints_on_same_port_and_different_protocols",
        ),
    },
    Title {
        upstream: "should serve endpoints on same port and different protocol for internal traffic on Type LoadBalancer",
        conformance: false,
        cover: Test(
            "conformance_services",
            "should_serve_endpoints_on_same_port_and_different_protocol_for_internal_traffic_on_type_load_balancer",
        ),
    },
    Title {
        upstream: "should allow creating a basic SCTP service with pod and endpoints",
        conformance: false,
        cover: Test(
            "sctp",
            "should_allow_creating_a_basic_sctp_service_with_pod_and_endpoints",
        ),
    },
];
