//! kpr's own kinds: created, defaulted, refused, shown.

use anyhow::{Context as _, Result};
use kpr_crds::{KubeProxyReplacement, NodeDatapath};
use kube::CustomResourceExt as _;
use serde_json::{Value, json};

use super::CRDS;
use crate::{
    request::{get, patch, post},
    server::Server,
};

const POLICIES: &str = "/apis/kpr.dev/v1alpha1/kubeproxyreplacements";
const DATAPATHS: &str = "/apis/kpr.dev/v1alpha1/nodedatapaths";

fn policy(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "kpr.dev/v1alpha1", "kind": "KubeProxyReplacement", "metadata": {"name": name}, "spec": spec})
}

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    for crd in [KubeProxyReplacement::crd(), NodeDatapath::crd()] {
        let name = crd.metadata.name.clone().context("a CRD without a name")?;
        server.silently(post(CRDS, &serde_json::to_value(&crd)?)).await?;
        let established = |object: &Value| object["status"]["conditions"][1]["status"] == "True";
        server
            .until_it(&format!("{CRDS}/{name}"), "is established", established)
            .await?;
        server
            .ask(&format!("{name} is taken"), get(format!("{CRDS}/{name}")))
            .await?;
    }
    for path in [POLICIES, DATAPATHS] {
        server.until(path, 200).await?;
    }
    server
        .ask(
            "the smallest",
            post(POLICIES, &policy("default", &json!({"mode": "Strict"}))),
        )
        .await?;
    for (what, spec) in [
        ("no mode", json!({})),
        ("a mode that is none", json!({"mode": "Maybe"})),
        (
            "a range the wrong way round",
            json!({"mode": "Strict", "nodePort": {"range": "32767-30000"}}),
        ),
        (
            "a range that is none",
            json!({"mode": "Strict", "nodePort": {"range": "all"}}),
        ),
        (
            "addresses that are none",
            json!({"mode": "Strict", "nodePort": {"addresses": ["here"]}}),
        ),
        (
            "a table of no size",
            json!({"mode": "Strict", "loadBalancer": {"maglevTableSize": 5}}),
        ),
        (
            "a way that is none",
            json!({"mode": "Strict", "loadBalancer": {"mode": "Teleport"}}),
        ),
        (
            "too many out at once",
            json!({"mode": "Strict", "updateStrategy": {"maxUnavailable": "many"}}),
        ),
        ("an unknown field", json!({"mode": "Strict", "colour": "red"})),
        (
            "services of Strict",
            json!({"mode": "Strict", "services": {"nodePort": false}}),
        ),
    ] {
        server
            .ask(
                what,
                post(
                    format!("{POLICIES}?dryRun=All&fieldValidation=Strict"),
                    &policy("wrong", &spec),
                ),
            )
            .await?;
    }
    server
        .ask(
            "its mode is changed",
            patch(
                "merge",
                format!("{POLICIES}/default"),
                &json!({"spec": {"mode": "Partial"}}),
            ),
        )
        .await?;
    let status = json!({"status": {"observedGeneration": 2, "desiredNodes": 2, "readyNodes": 1, "updatedNodes": 1, "conditions": [
        {"type": "Available", "status": "True", "reason": "AllNodesReady", "message": "all is well", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}});
    server
        .ask(
            "its status",
            patch("merge", format!("{POLICIES}/default/status"), &status),
        )
        .await?;
    server
        .ask("as kubectl shows it", get(format!("{POLICIES}/default")).tabular())
        .await?;
    server.ask("none of the nodes'", get(DATAPATHS).tabular()).await?;
    server.ask("resources", get("/apis/kpr.dev/v1alpha1")).await?;
    server.ask("the group", get("/apis/kpr.dev")).await?;
    Ok(())
}
