//! Pods that are not ready, with and without `publishNotReadyAddresses`.

use std::{fs, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{
    core::v1::{Pod, Service},
    discovery::v1::EndpointSlice,
};
use kube::{
    Api, ResourceExt as _,
    api::{ListParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{http, is_reachable, ports, probe, targets};
use crate::{
    cluster::{Cluster, eventually},
    control::pods::{is_finished, is_ready},
    scenario::{
        POD_PORT, Probe, ServerPod, Vantage, client_pod,
        service::{cluster_ip, create_service, patch_service},
        set_ready, terminate_pod,
    },
};

/// How long a pod's state may take to show.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a client asks.
const TIMES: u32 = 5;

/// A Service that tolerates unready pods leads to one, and to the same when it terminates; one that does not tolerate them
/// refuses.
///
/// Upstream: "should create endpoints for unready pods"
pub async fn should_create_endpoints_for_unready_pods(cluster: &mut Cluster) -> Result<()> {
    let name = "tolerate-unready";
    let spec = json!({"publishNotReadyAddresses": true, "ports": http()});
    let service = create_service(cluster, name, spec).await?;
    let pod = lingering(cluster, name).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    let probe = Probe::tcp(cluster, &from, cluster_ip(&service, POD_PORT)?);
    becomes_unready(cluster, &pod).await?;
    probe.answered_by(&[name]).await?;

    terminate_pod(cluster, &pod).await?;
    patch_service(cluster, name, json!({"publishNotReadyAddresses": false})).await?;
    probe.refused().await?;

    patch_service(cluster, name, json!({"publishNotReadyAddresses": true})).await?;
    probe.answered_by(&[name]).await.map(|_tally| ())
}

/// Upstream: "should be able to connect to terminating and unready endpoints if PublishNotReadyAddresses is true"
pub async fn should_be_able_to_connect_to_terminating_and_unready_endpoints_if_publish_not_ready_addresses_is_true(
    cluster: &mut Cluster,
) -> Result<()> {
    let name = "svc-tolerate-unready";
    let (service, from) = terminating_and_unready(cluster, name, true).await?;
    for _ in 0..TIMES {
        is_reachable(cluster, &service, &from, &[name]).await?;
    }
    Ok(())
}

/// Upstream: "should not be able to connect to terminating and unready endpoints if PublishNotReadyAddresses is false"
pub async fn should_not_be_able_to_connect_to_terminating_and_unready_endpoints_if_publish_not_ready_addresses_is_false(
    cluster: &mut Cluster,
) -> Result<()> {
    let name = "svc-not-tolerate-unready";
    let (service, from) = terminating_and_unready(cluster, name, false).await?;
    for port in ports(&service) {
        for target in targets(cluster, &service, port)? {
            // From the first refusal on, each must be one.
            probe(cluster, &from, target, port).refused().await?;
        }
    }
    Ok(())
}

/// A pod whose containers its node has ended, and which stays as an object, is no endpoint, even where unready ones are: the
/// Service refuses.
///
/// Upstream: "should be rejected for evicted pods (no endpoints exist)"
pub async fn should_be_rejected_for_evicted_pods_no_endpoints_exist(cluster: &mut Cluster) -> Result<()> {
    let name = "evicted-pods";
    let spec = json!({"publishNotReadyAddresses": true, "ports": http()});
    let service = create_service(cluster, name, spec).await?;
    let pod = ServerPod::of(name, "evicted-pod").on_node("node-a").never_restarted();
    let pod = pod.create(cluster).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let probe = Probe::tcp(cluster, &from, cluster_ip(&service, POD_PORT)?);
    probe.answered_by(&["evicted-pod"]).await?;

    evict(cluster, &pod).await?;
    probe.refused().await?;
    let slices: Api<EndpointSlice> = Api::default_namespaced(cluster.client());
    let own = ListParams::default().labels(&format!("kubernetes.io/service-name={name}"));
    let slices = slices.list(&own).await?.items;
    let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten()).count();
    ensure!(
        slices.len() == 1 && endpoints == 0,
        "one slice without endpoints: {slices:?}"
    );
    Ok(())
}

/// What a kubelet does to a pod that has used too much of its node: it ends the containers, and says why.
async fn evict(cluster: &Cluster, pod: &Pod) -> Result<()> {
    let (pods, name): (Api<Pod>, _) = (Api::default_namespaced(cluster.client()), pod.name_any());
    let node = cluster.testbed().host("node-a")?;
    let cgroup = node.cgroup.path().join("pods").join(&name);
    fs::write(cgroup.join("cgroup.kill"), "1").context("end the pod's containers")?;
    eventually("the pod has ended", PATIENCE, || async {
        let pod = pods.get(&name).await?;
        Ok(if is_finished(&pod) {
            Ok(())
        } else {
            Err(format!("{:?}", pod.status))
        })
    })
    .await?;
    let message = "The node was low on resource: ephemeral-storage.";
    let status = json!({"status": {"phase": "Failed", "reason": "Evicted", "message": message}});
    pods.patch_status(&name, &PatchParams::default(), &Patch::Merge(status))
        .await?;
    Ok(())
}

/// A NodePort Service with a pod that terminates and is not ready, and a client on the other node.
async fn terminating_and_unready(cluster: &Cluster, name: &str, publish: bool) -> Result<(Service, Vantage)> {
    let spec = json!({"type": "NodePort", "publishNotReadyAddresses": publish, "ports": http()});
    let service = create_service(cluster, name, spec).await?;
    let pod = lingering(cluster, name).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-b").await?);
    is_reachable(cluster, &service, &from, &[name]).await?;
    terminate_pod(cluster, &pod).await?;
    becomes_unready(cluster, &pod).await?;
    let expected = json!({"ready": publish, "serving": false, "terminating": true});
    endpoint_is(cluster, name, &expected).await?;
    Ok((service, from))
}

async fn lingering(cluster: &Cluster, name: &str) -> Result<Pod> {
    ServerPod::of(name, name)
        .on_node("node-a")
        .lingering()
        .create(cluster)
        .await
}

/// The pod's readiness probe fails from now on.
async fn becomes_unready(cluster: &Cluster, pod: &Pod) -> Result<()> {
    set_ready(cluster, pod, false).await?;
    let (pods, name): (Api<Pod>, _) = (Api::default_namespaced(cluster.client()), pod.name_any());
    eventually(&format!("pod {name} is not ready"), PATIENCE, || async {
        let pod = pods.get(&name).await?;
        Ok(if is_ready(&pod) {
            Err("it is ready".to_owned())
        } else {
            Ok(())
        })
    })
    .await
}

/// Waits until the Service's only endpoint has these conditions.
async fn endpoint_is(cluster: &Cluster, service: &str, expected: &Value) -> Result<()> {
    let slices: Api<EndpointSlice> = Api::default_namespaced(cluster.client());
    let own = ListParams::default().labels(&format!("kubernetes.io/service-name={service}"));
    eventually(
        &format!("the endpoint of {service} is {expected}"),
        PATIENCE,
        || async {
            let slices = slices.list(&own).await?.items;
            let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
            let found = serde_json::to_value(endpoints.map(|endpoint| &endpoint.conditions).collect::<Vec<_>>())?;
            Ok(if found == json!([expected]) {
                Ok(())
            } else {
                Err(found.to_string())
            })
        },
    )
    .await
}
