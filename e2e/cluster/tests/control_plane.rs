//! The cluster without kpr: its controllers and kubelets.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod, discovery::v1::EndpointSlice};
use kpr_cluster::{
    cluster::{Cluster, eventually},
    control::pods::node_name,
    scenario::{TCP_PORT, Vantage, Workload, without_kpr},
};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams},
};
use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

const PATIENCE: Duration = Duration::from_secs(20);

fn address(pod: &Pod) -> Result<SocketAddr> {
    let ip = pod
        .status
        .as_ref()
        .and_then(|status| status.pod_ip.clone())
        .context("an address")?;
    Ok(SocketAddr::new(ip.parse()?, TCP_PORT))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_becomes_pods_that_answer_on_both_nodes() -> Result<()> {
    without_kpr(async |cluster: &mut Cluster| {
        let web = Workload::named("web").deploy(cluster).await?;
        let pods = web.ready_pods(cluster, 2).await?;
        let nodes: BTreeSet<Option<&str>> = pods.iter().map(node_name).collect();
        ensure!(nodes == [Some("node-a"), Some("node-b")].into(), "{nodes:?}");
        for pod in &pods {
            let tally = Vantage::node("node-a").http(cluster, address(pod)?, 3).await?;
            ensure!(tally.from(&pod.name_any()) == 3, "{tally:?}");
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endpoint_slices_follow_the_pods() -> Result<()> {
    without_kpr(async |cluster: &mut Cluster| {
        let web = Workload::named("web").deploy(cluster).await?;
        endpoints(cluster, 2).await?;
        web.scale(cluster, 3).await?;
        endpoints(cluster, 3).await?;
        web.scale(cluster, 1).await?;
        endpoints(cluster, 1).await?;
        web.ready_pods(cluster, 1).await?;
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_deployment_takes_its_pods_along() -> Result<()> {
    without_kpr(async |cluster: &mut Cluster| {
        let web = Workload::named("web").deploy(cluster).await?;
        let pods = web.ready_pods(cluster, 2).await?;
        let api: Api<Deployment> = Api::default_namespaced(cluster.client());
        api.delete("web", &DeleteParams::background()).await?;
        let left: Api<Pod> = Api::default_namespaced(cluster.client());
        eventually("all pods are gone", PATIENCE, || async {
            let names: Vec<String> = left
                .list(&ListParams::default())
                .await?
                .iter()
                .map(ResourceExt::name_any)
                .collect();
            Ok(if names.is_empty() {
                Ok(())
            } else {
                Err(format!("{names:?}"))
            })
        })
        .await?;
        let tally = Vantage::node("node-a").http(cluster, address(&pods[0])?, 1).await?;
        ensure!(tally.answered() == 0, "a deleted pod answers: {tally:?}");
        Ok(())
    })
    .await
}

/// Waits until the slices of the Service `web` have exactly `count` endpoints, all ready.
async fn endpoints(cluster: &Cluster, count: usize) -> Result<()> {
    let slices: Api<EndpointSlice> = Api::default_namespaced(cluster.client());
    let labels = ListParams::default().labels("kubernetes.io/service-name=web");
    eventually(&format!("{count} endpoints"), PATIENCE, || async {
        let list = slices.list(&labels).await?.items;
        let endpoints: Vec<_> = list.iter().flat_map(|slice| slice.endpoints.iter().flatten()).collect();
        let ready = |endpoint: &&&k8s_openapi::api::discovery::v1::Endpoint| {
            endpoint.conditions.as_ref().and_then(|conditions| conditions.ready) == Some(true)
        };
        let settled = endpoints.len() == count && endpoints.iter().filter(ready).count() == count;
        Ok(if settled { Ok(()) } else { Err(format!("{endpoints:?}")) })
    })
    .await
}
