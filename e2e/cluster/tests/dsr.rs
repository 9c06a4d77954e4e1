//! Direct server return, with real traffic.

use anyhow::Result;
use kpr_cluster::{
    scenario::{dsr, without_kpr, without_kpr_on},
    spec::{ClusterSpec, Families, Shape},
};

async fn everywhere(shape: Shape, families: Families, dispatch: &str) -> Result<()> {
    let spec = ClusterSpec::of(shape).families(families);
    without_kpr_on(spec, async |cluster| {
        dsr::a_pod_is_reached_from_everywhere(cluster, dispatch).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge_by_geneve() -> Result<()> {
    everywhere(Shape::Bridge, Families::DualStack, "Geneve").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge_by_ipip() -> Result<()> {
    everywhere(Shape::Bridge, Families::DualStack, "IPIP").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn point_to_point_by_geneve() -> Result<()> {
    everywhere(Shape::Ptp, Families::DualStack, "Geneve").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vxlan_by_geneve() -> Result<()> {
    everywhere(Shape::Vxlan, Families::DualStack, "Geneve").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn vxlan_by_ipip() -> Result<()> {
    everywhere(Shape::Vxlan, Families::DualStack, "IPIP").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flannel_by_geneve() -> Result<()> {
    everywhere(Shape::Flannel, Families::Ipv4, "Geneve").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policy_routed_by_geneve() -> Result<()> {
    everywhere(Shape::PolicyRouted, Families::Ipv4, "Geneve").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bridge_with_strict_reverse_path_filter() -> Result<()> {
    without_kpr_on(ClusterSpec::of(Shape::Bridge).rp_filter(1), async |cluster| {
        dsr::a_pod_is_reached_from_everywhere(cluster, "Geneve").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_with_strict_tunnels_get_snat() -> Result<()> {
    let spec = ClusterSpec::of(Shape::Vxlan).rp_filter(1);
    without_kpr_on(spec, dsr::nodes_with_strict_tunnels_get_snat).await
}

async fn answers(shape: Shape, dispatch: &str) -> Result<()> {
    let spec = ClusterSpec::of(shape).families(Families::DualStack);
    without_kpr_on(spec, async |cluster| {
        dsr::answers_leave_the_backends_node(cluster, dispatch).await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_leave_the_backends_node() -> Result<()> {
    answers(Shape::Bridge, "Geneve").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_leave_the_backends_node_where_requests_come_by_a_tunnel() -> Result<()> {
    answers(Shape::Vxlan, "IPIP").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hybrid_is_dsr_for_tcp_and_snat_for_udp() -> Result<()> {
    without_kpr(dsr::hybrid_is_dsr_for_tcp_and_snat_for_udp).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_the_backends_node_are_answered() -> Result<()> {
    without_kpr(async |cluster| dsr::clients_of_the_backends_node_are_answered(cluster, "Geneve").await).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_the_backends_node_are_answered_by_ipip_and_a_tunnel() -> Result<()> {
    without_kpr_on(ClusterSpec::of(Shape::Vxlan), async |cluster| {
        dsr::clients_of_the_backends_node_are_answered(cluster, "IPIP").await
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pod_reaches_itself_through_another_node() -> Result<()> {
    without_kpr(dsr::a_pod_reaches_itself).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_an_agent_gets_snat() -> Result<()> {
    without_kpr(dsr::a_node_without_an_agent_gets_snat).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn switching_the_mode_breaks_nothing() -> Result<()> {
    without_kpr(dsr::switching_the_mode_breaks_nothing).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_agents_breaks_nothing() -> Result<()> {
    without_kpr(dsr::killing_agents_breaks_nothing).await
}
