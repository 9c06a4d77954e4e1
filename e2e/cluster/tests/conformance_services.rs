//! Kubernetes' own tests of Services (`test/e2e/network/service.go`), with real traffic.

use anyhow::Result;
use kpr_cluster::scenario::{
    services::{api, disruption, endpoints, lifecycle, node_ports, opt_out, ports, reach, types, unready},
    with_kpr,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_provide_secure_master_service() -> Result<()> {
    with_kpr(reach::should_provide_secure_master_service).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_preserve_source_pod_ip_for_traffic_thru_service_cluster_ip() -> Result<()> {
    with_kpr(reach::should_preserve_source_pod_ip_for_traffic_thru_service_cluster_ip).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_able_to_create_a_functioning_node_port_service() -> Result<()> {
    with_kpr(reach::should_be_able_to_create_a_functioning_node_port_service).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_possible_to_connect_to_a_service_via_external_ip_when_the_external_ip_is_not_assigned_to_a_node()
-> Result<()> {
    with_kpr(reach::should_be_possible_to_connect_to_a_service_via_external_ip_when_the_external_ip_is_not_assigned_to_a_node).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_serve_a_basic_endpoint_from_pods() -> Result<()> {
    with_kpr(endpoints::should_serve_a_basic_endpoint_from_pods).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_serve_multiport_endpoints_from_pods() -> Result<()> {
    with_kpr(endpoints::should_serve_multiport_endpoints_from_pods).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_create_endpoints_for_unready_pods() -> Result<()> {
    with_kpr(unready::should_create_endpoints_for_unready_pods).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_able_to_connect_to_terminating_and_unready_endpoints_if_publish_not_ready_addresses_is_true()
-> Result<()> {
    with_kpr(
        unready::should_be_able_to_connect_to_terminating_and_unready_endpoints_if_publish_not_ready_addresses_is_true,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_not_be_able_to_connect_to_terminating_and_unready_endpoints_if_publish_not_ready_addresses_is_false()
-> Result<()> {
    with_kpr(unready::should_not_be_able_to_connect_to_terminating_and_unready_endpoints_if_publish_not_ready_addresses_is_false).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_rejected_for_evicted_pods_no_endpoints_exist() -> Result<()> {
    with_kpr(unready::should_be_rejected_for_evicted_pods_no_endpoints_exist).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_updated_after_adding_or_deleting_ports() -> Result<()> {
    with_kpr(ports::should_be_updated_after_adding_or_deleting_ports).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_able_to_update_service_type_to_node_port_listening_on_same_port_number_but_different_protocols()
-> Result<()> {
    with_kpr(
        ports::should_be_able_to_update_service_type_to_node_port_listening_on_same_port_number_but_different_protocols,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_serve_endpoints_on_same_port_and_different_protocols() -> Result<()> {
    with_kpr(ports::should_serve_endpoints_on_same_port_and_different_protocols).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_serve_endpoints_on_same_port_and_different_protocol_for_internal_traffic_on_type_load_balancer()
-> Result<()> {
    with_kpr(
        ports::should_serve_endpoints_on_same_port_and_different_protocol_for_internal_traffic_on_type_load_balancer,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_able_to_up_and_down_services() -> Result<()> {
    with_kpr(lifecycle::should_be_able_to_up_and_down_services).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_work_after_the_service_has_been_recreated() -> Result<()> {
    with_kpr(lifecycle::should_work_after_the_service_has_been_recreated).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_work_after_restarting_kube_proxy() -> Result<()> {
    with_kpr(disruption::should_work_after_restarting_kube_proxy).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_work_after_restarting_apiserver() -> Result<()> {
    with_kpr(disruption::should_work_after_restarting_apiserver).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_able_to_change_the_type_from_external_name_to_cluster_ip() -> Result<()> {
    with_kpr(types::should_be_able_to_change_the_type_from_external_name_to_cluster_ip).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_able_to_change_the_type_from_external_name_to_node_port() -> Result<()> {
    with_kpr(types::should_be_able_to_change_the_type_from_external_name_to_node_port).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_able_to_change_the_type_from_cluster_ip_to_external_name() -> Result<()> {
    with_kpr(types::should_be_able_to_change_the_type_from_cluster_ip_to_external_name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_be_able_to_change_the_type_from_node_port_to_external_name() -> Result<()> {
    with_kpr(types::should_be_able_to_change_the_type_from_node_port_to_external_name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_prevent_node_port_collisions() -> Result<()> {
    with_kpr(node_ports::should_prevent_node_port_collisions).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_check_node_port_out_of_range() -> Result<()> {
    with_kpr(node_ports::should_check_node_port_out_of_range).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_release_node_ports_on_delete() -> Result<()> {
    with_kpr(node_ports::should_release_node_ports_on_delete).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_implement_service_proxy_name() -> Result<()> {
    with_kpr(opt_out::should_implement_service_proxy_name).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_implement_headless() -> Result<()> {
    with_kpr(opt_out::should_implement_headless).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_find_a_service_from_listing_all_namespaces() -> Result<()> {
    with_kpr(api::should_find_a_service_from_listing_all_namespaces).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_test_the_lifecycle_of_an_endpoint() -> Result<()> {
    with_kpr(api::should_test_the_lifecycle_of_an_endpoint).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_complete_a_service_status_lifecycle() -> Result<()> {
    with_kpr(api::should_complete_a_service_status_lifecycle).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn should_delete_a_collection_of_services() -> Result<()> {
    with_kpr(api::should_delete_a_collection_of_services).await
}
