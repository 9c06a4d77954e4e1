//! What `kubectl kpr` tells of a whole cluster.

use std::{collections::BTreeMap, net::SocketAddr};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Secret, Service};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use super::kubectl_kpr;
use crate::{
    cluster::Cluster,
    control::pods::node_name,
    process::Output,
    scenario::{Deployed, dump, exit_codes::NOT_FOUND, service::cluster_ip},
};

/// Every node answers, and where one node alone can tell, it alone does. `web` has two pods, which are such clients.
pub(in crate::scenario) async fn every_node_answers(cluster: &Cluster, web: &Deployed) -> Result<()> {
    let status = ask(cluster, &["status"]).await?.success()?;
    let pages = pages(&status);
    ensure!(pages.keys().eq(&cluster.node_names()), "{status}");
    for (node, page) in pages {
        ensure!(page.contains("KubeProxyReplacement:"), "{node}: {page}");
    }
    let services: Api<Service> = Api::default_namespaced(cluster.client());
    let kubernetes = cluster_ip(&services.get("kubernetes").await?, 443)?;
    every_node_has(cluster, kubernetes).await?;
    one_node_explains(cluster, web, kubernetes).await?;
    an_archive_has_every_node_and_no_secret(cluster, web).await
}

async fn ask(cluster: &Cluster, arguments: &[&str]) -> Result<Output> {
    kubectl_kpr(cluster)?.args(arguments).output().await
}

/// What nodes have printed, by their names.
fn pages(text: &str) -> BTreeMap<&str, &str> {
    text.split("=== ")
        .filter_map(|page| page.split_once(" ===\n"))
        .collect()
}

async fn every_node_has(cluster: &Cluster, kubernetes: SocketAddr) -> Result<()> {
    let listed: Value = ask(cluster, &["service", "list", "-o", "json"]).await?.json()?;
    let nodes = listed.as_object().context("by node")?;
    ensure!(nodes.keys().eq(&cluster.node_names()), "{listed}");
    for (node, frontends) in nodes {
        let is_meant = |entry: &&Value| entry["frontend"] == kubernetes.to_string();
        let found = frontends.as_array().into_iter().flatten().find(is_meant);
        let entry = found.with_context(|| format!("no {kubernetes} on {node}: {frontends}"))?;
        ensure!(
            entry["service"] == "default/kubernetes" && entry["backends"][0]["state"] == "active",
            "{node}: {entry}"
        );
    }
    Ok(())
}

async fn one_node_explains(cluster: &Cluster, web: &Deployed, kubernetes: SocketAddr) -> Result<()> {
    let kubernetes = kubernetes.to_string();
    let explain = async |pod: &str| {
        let from = format!("pod/default/{pod}");
        ask(cluster, &["explain", "tcp", &kubernetes, "--from", &from]).await
    };
    let api = cluster.testbed().spec().api_endpoint().context("no API server")?;
    for pod in web.ready_pods(cluster, 2).await? {
        let explained = explain(&pod.name_any()).await?.success()?;
        let pages = pages(&explained);
        ensure!(pages.keys().copied().eq(node_name(&pod)), "{explained}");
        for part in ["ClusterIP of default/kubernetes:https", &format!("to {api}: ")] {
            ensure!(explained.contains(part), "no {part} in {explained}");
        }
    }
    let nobody = explain("nobody").await?;
    ensure!(
        nobody.status.code() == Some(NOT_FOUND) && nobody.stderr.contains("there is no pod default/nobody"),
        "{nobody:?}"
    );
    Ok(())
}

/// What is planted is a Secret, by its name and its value, and the value of an annotation.
async fn an_archive_has_every_node_and_no_secret(cluster: &Cluster, web: &Deployed) -> Result<()> {
    let secrets: Api<Secret> = Api::default_namespaced(cluster.client());
    let secret = serde_json::from_value(json!({
        "metadata": {"name": dump::SECRET},
        "stringData": {"token": dump::SECRET},
    }))?;
    secrets.create(&PostParams::default(), &secret).await?;
    let services: Api<Service> = Api::default_namespaced(cluster.client());
    let annotated = Patch::Merge(json!({"metadata": {"annotations": {"lb/token": dump::SECRET}}}));
    let name = web.service().name_any();
    services.patch(&name, &PatchParams::default(), &annotated).await?;

    let file = cluster.testbed().dir().join("dump.tar.gz");
    let output = file.to_string_lossy();
    ask(cluster, &["sysdump", "--output", &output]).await?.success()?;
    secrets.delete(dump::SECRET, &DeleteParams::default()).await?;
    let files = dump::unpack(&file, "kpr-sysdump-")?;
    let part = |name: &str| dump::part(&files, name);
    let errors = files.iter().find(|(name, _)| name.ends_with("errors.txt"));
    ensure!(errors.is_none(), "{errors:?}");
    for node in cluster.node_names() {
        for (name, words) in [
            ("status.txt", "KubeProxyReplacement:"),
            ("services.txt", "default/web:http"),
        ] {
            let text = part(&format!("nodes/{node}/{name}"))?;
            ensure!(text.contains(words), "{words} is not in {name} of {node}: {text}");
        }
        for objects in ["objects/nodes.json", "objects/nodedatapaths.json", "objects/pods.txt"] {
            ensure!(part(objects)?.contains(&node), "{node} is not in {objects}");
        }
    }
    for (objects, words) in [
        ("objects/services.json", "\"lb/token\""),
        ("objects/kubeproxyreplacements.json", "\"Strict\""),
    ] {
        ensure!(part(objects)?.contains(words), "{words} is not in {objects}");
    }
    for line in part("objects/pods.txt")?.lines().skip(1) {
        let pod = line.split_whitespace().nth(1).context("no name of a pod")?;
        ensure!(
            !part(&format!("logs/{pod}.log"))?.is_empty(),
            "{pod} has logged nothing"
        );
    }
    dump::no_secret(&files)
}
