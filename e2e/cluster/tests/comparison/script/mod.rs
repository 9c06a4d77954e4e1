//! The requests, part by part. What a part makes stays, and later parts have names of their own.

mod custom;
mod custom_objects;
mod defaults;
mod deletion;
mod discovery;
mod kpr;
mod lists;
mod objects;
mod patches;
mod services;
mod subresources;
mod tables;
mod watches;
mod wrong;

use anyhow::Result;
use serde_json::{Value, json};

use crate::{request::post, server::Server};

/// The namespace that the script is about: kube-controller-manager puts a ConfigMap and a ServiceAccount into it, and no more.
const NAMESPACE: &str = "/api/v1/namespaces/compared";
const CONFIG_MAPS: &str = "/api/v1/namespaces/compared/configmaps";
const PODS: &str = "/api/v1/namespaces/compared/pods";
const SERVICES: &str = "/api/v1/namespaces/compared/services";
const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// All of it.
pub(crate) async fn play(server: &mut Server<'_>) -> Result<()> {
    server.part("objects");
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "compared"}});
    server
        .ask("a namespace is created", post("/api/v1/namespaces", &namespace))
        .await?;
    if server.has_real_controllers() {
        server
            .until(&format!("{NAMESPACE}/serviceaccounts/default"), 200)
            .await?;
    }
    objects::play(server).await?;
    server.part("wrong requests");
    wrong::play(server).await?;
    server.part("lists");
    lists::play(server).await?;
    server.part("watches");
    watches::play(server).await?;
    server.part("patches");
    patches::play(server).await?;
    server.part("defaults");
    defaults::play(server).await?;
    server.part("services");
    services::play(server).await?;
    server.part("custom resource definitions");
    custom::play(server).await?;
    server.part("custom objects");
    custom_objects::play(server).await?;
    server.part("subresources");
    subresources::play(server).await?;
    server.part("deletion");
    deletion::play(server).await?;
    server.part("kpr's own kinds");
    kpr::play(server).await?;
    server.part("tables");
    tables::play(server).await?;
    server.part("discovery");
    discovery::play(server).await
}

/// A ConfigMap with one value, labelled `app=NAME`.
fn config_map(name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": name}},
        "data": {"v": value},
    })
}

/// A pod that no scheduler will ever bind.
fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"schedulerName": "nobody", "containers": [{"name": "web", "image": "web"}]},
    })
}
