//! What clients of the API do with Services and Endpoints, and what comes of it in traffic.

use std::{fmt::Debug, pin::pin, time::Duration};

use anyhow::{Context as _, Result, bail, ensure};
use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Endpoints, Service};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::timeout;

use crate::{
    cluster::Cluster,
    scenario::{
        Probe, Vantage, client_pod,
        service::{cluster_ip, create_labelled_service},
    },
};

/// How long a watch may take to tell.
const PATIENCE: Duration = Duration::from_secs(20);

/// Upstream: "should find a service from listing all namespaces"
pub async fn should_find_a_service_from_listing_all_namespaces(cluster: &mut Cluster) -> Result<()> {
    let services: Api<Service> = Api::all(cluster.client());
    let list = services.list(&ListParams::default()).await?;
    let found =
        |service: &Service| service.name_any() == "kubernetes" && service.namespace().as_deref() == Some("default");
    ensure!(list.iter().any(found), "{list:?}");
    Ok(())
}

/// An Endpoints object is created, labelled, patched and deleted by its label; a watch tells of each.
///
/// Upstream: "should test the lifecycle of an Endpoint"
pub async fn should_test_the_lifecycle_of_an_endpoint(cluster: &mut Cluster) -> Result<()> {
    let api: Api<Endpoints> = Api::default_namespaced(cluster.client());
    let mut events = pin!(watch(&api, "test-endpoint-static=true").await?);
    let name = "testservice";
    let object = serde_json::from_value(json!({
        "metadata": {"name": name, "labels": {"test-endpoint-static": "true"}},
        "subsets": [{
            "addresses": [{"ip": "10.0.0.24"}],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        }],
    }))?;
    api.create(&PostParams::default(), &object).await?;
    let labelled = |value: Option<&'static str>| {
        move |endpoints: &Endpoints| endpoints.labels().get("test-service").map(String::as_str) == value
    };
    let mut endpoints = next(&mut events, "ADDED", labelled(None)).await?;

    endpoints
        .labels_mut()
        .insert("test-service".to_owned(), "updated".to_owned());
    api.replace(name, &PostParams::default(), &endpoints).await?;
    next(&mut events, "MODIFIED", labelled(Some("updated"))).await?;

    let patch = json!({
        "metadata": {"labels": {"test-service": "patched"}},
        "subsets": [{"addresses": [{"ip": "10.0.0.25"}], "ports": [{"name": "http-test", "port": 8080}]}],
    });
    api.patch(name, &PatchParams::default(), &Patch::Strategic(patch))
        .await?;
    let patched = next(&mut events, "MODIFIED", labelled(Some("patched"))).await?;
    let expected = json!([{
        "addresses": [{"ip": "10.0.0.25"}],
        "ports": [{"name": "http-test", "port": 8080, "protocol": "TCP"}],
    }]);
    ensure!(serde_json::to_value(&patched.subsets)? == expected, "{patched:?}");

    let own = ListParams::default().labels("test-endpoint-static=true");
    api.delete_collection(&DeleteParams::default(), &own).await?;
    next(&mut events, "DELETED", labelled(Some("patched"))).await?;
    ensure!(api.get_opt(name).await?.is_none(), "it is still there");
    Ok(())
}

/// A Service's status is read, patched and updated, its labels are patched, and it is deleted; a watch tells of each. The address
/// that the status gets is served while the Service is there.
///
/// Upstream: "should complete a service status lifecycle"
pub async fn should_complete_a_service_status_lifecycle(cluster: &mut Cluster) -> Result<()> {
    const ADDRESS: [u8; 4] = [203, 0, 113, 1];
    let api: Api<Service> = Api::default_namespaced(cluster.client());
    let mut events = pin!(watch(&api, "test-service-static=true").await?);
    let name = "test-service";
    let spec = json!({
        "type": "LoadBalancer",
        "loadBalancerClass": "example.com/internal-vip",
        "ports": [{"name": "http", "port": 80}],
    });
    create_labelled_service(cluster, name, json!({"test-service-static": "true"}), spec).await?;
    next(&mut events, "ADDED", |service: &Service| service.name_any() == name).await?;
    let status = api.get_status(name).await?.status.context("no status")?;
    ensure!(
        status.load_balancer.is_some_and(|lb| lb.ingress.is_none()),
        "a load balancer took it on"
    );

    let address = std::net::IpAddr::from(ADDRESS);
    let patch = json!({
        "metadata": {"annotations": {"patchedstatus": "true"}},
        "status": {"loadBalancer": {"ingress": [{"ip": address}]}},
    });
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    let is_patched = |service: &Service| {
        service
            .annotations()
            .get("patchedstatus")
            .is_some_and(|value| value == "true")
    };
    let mut service = next(&mut events, "MODIFIED", is_patched).await?;
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let probe = Probe::tcp(cluster, &from, (address, 80).into());
    probe.refused().await?;

    let condition = json!([{
        "type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    service.status.get_or_insert_default().conditions = serde_json::from_value(condition)?;
    api.replace_status(name, &PostParams::default(), &service).await?;
    let is_updated = |service: &Service| {
        let conditions = service
            .status
            .iter()
            .flat_map(|status| status.conditions.iter().flatten());
        conditions
            .into_iter()
            .any(|condition| condition.type_ == "StatusUpdate" && condition.reason == "E2E")
    };
    next(&mut events, "MODIFIED", is_updated).await?;

    let patch = Patch::Strategic(json!({"metadata": {"labels": {"test-service": "patched"}}}));
    api.patch(name, &PatchParams::default(), &patch).await?;
    let is_labelled = |service: &Service| {
        service
            .labels()
            .get("test-service")
            .is_some_and(|value| value == "patched")
    };
    next(&mut events, "MODIFIED", is_labelled).await?;

    api.delete(name, &DeleteParams::default()).await?;
    next(&mut events, "DELETED", is_labelled).await?;
    probe.dropped().await
}

/// Services are deleted by their label, and others stay: these refuse, having no pods, and those are nobody's any more.
///
/// Upstream: "should delete a collection of services"
pub async fn should_delete_a_collection_of_services(cluster: &mut Cluster) -> Result<()> {
    const LABEL: &str = "e2e-test-service";
    let from = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let mut probes = Vec::new();
    for (name, label, port) in [("a", "delete", 8001), ("b", "delete", 8002), ("c", "keep", 8003)] {
        let spec = json!({"ports": [{"name": "http", "port": port}]});
        let service = create_labelled_service(cluster, &format!("e2e-svc-{name}"), json!({LABEL: label}), spec).await?;
        probes.push(Probe::tcp(cluster, &from, cluster_ip(&service, port)?));
    }
    let api: Api<Service> = Api::default_namespaced(cluster.client());
    let ours = ListParams::default().labels(LABEL);
    ensure!(api.list(&ours).await?.items.len() == 3, "three Services");
    for probe in &probes {
        probe.refused().await?;
    }

    let label = ListParams::default().labels(&format!("{LABEL}=delete"));
    api.delete_collection(&DeleteParams::default(), &label).await?;
    let left: Vec<String> = api.list(&ours).await?.iter().map(ResourceExt::name_any).collect();
    ensure!(left == ["e2e-svc-c"], "{left:?}");
    probes[0].dropped().await?;
    probes[1].dropped().await?;
    probes[2].refused().await
}

/// Events of objects with this label from now on.
async fn watch<K>(api: &Api<K>, label: &str) -> Result<impl Stream<Item = kube::Result<WatchEvent<K>>>>
where
    K: Clone + Debug + DeserializeOwned,
{
    let now = api.list(&ListParams::default().labels(label)).await?;
    let version = now.metadata.resource_version.context("no resourceVersion")?;
    Ok(api.watch(&WatchParams::default().labels(label), &version).await?)
}

/// The next event, which must be of this kind and about an object like this.
async fn next<K: Debug>(
    events: &mut (impl Stream<Item = kube::Result<WatchEvent<K>>> + Unpin),
    kind: &str,
    expected: impl Fn(&K) -> bool,
) -> Result<K> {
    loop {
        let event = timeout(PATIENCE, events.next()).await;
        let event = event.with_context(|| format!("no {kind} within {PATIENCE:?}"))?;
        let (said, object) = match event.context("the watch has ended")?? {
            WatchEvent::Added(object) => ("ADDED", object),
            WatchEvent::Modified(object) => ("MODIFIED", object),
            WatchEvent::Deleted(object) => ("DELETED", object),
            WatchEvent::Bookmark(_) => continue,
            WatchEvent::Error(error) => bail!("{error}"),
        };
        ensure!(
            said == kind && expected(&object),
            "not the {kind} that was expected: {said} {object:?}"
        );
        return Ok(object);
    }
}
