//! `kubectl kpr check` as a user calls it, on a cluster whose kubelets run its pods.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::{Value, json};

use super::{exit_codes::CHECK_FAILED, install, plugin::kubectl_kpr};
use crate::{cluster::Cluster, kube_proxy::KubeProxyMode, process::Output};

/// All that is asked of Services with node ports.
const NODE_PORTS: [&str; 2] = ["NodePort", "externalTrafficPolicy Local"];
/// And of those without.
const CLUSTER_IPS: [&str; 4] = [
    "ClusterIP",
    "session affinity",
    "internalTrafficPolicy Local",
    "no endpoints",
];

/// kpr serves cluster IPs alone: whatever is asked of node ports fails, and nothing else. Then it serves everything, and nothing fails. What the
/// check has made goes each time.
pub async fn a_check_tells_what_works_and_leaves_nothing(cluster: &mut Cluster) -> Result<()> {
    install::kpr_with(cluster, json!({"mode": "Partial", "services": {"clusterIP": true}})).await?;
    let output = check(cluster, &["--settle", "5", "-o", "json"]).await?;
    ensure!(output.status.code() == Some(CHECK_FAILED), "{output:?}");
    let partial: Value = serde_json::from_str(&output.stdout)?;
    let failed = with_result(&partial, "failed", "check");
    ensure!(failed == NODE_PORTS.map(str::to_owned).into(), "{}", output.stdout);
    let ok = with_result(&partial, "ok", "check");
    ensure!(CLUSTER_IPS.iter().all(|check| ok.contains(*check)), "{}", output.stdout);
    nothing_is_left(cluster).await?;

    install::patch_policy(cluster, json!({"mode": "Strict", "services": null})).await?;
    everything_works(cluster, "IPv4").await
}

/// With both families, both are asked.
pub async fn a_check_asks_in_both_families(cluster: &mut Cluster) -> Result<()> {
    everything_works(cluster, "IPv4").await?;
    everything_works(cluster, "IPv6").await
}

/// kube-proxy alone passes the same check: what is expected is Kubernetes', and not kpr's own. So it can be made before the switch and after it.
pub async fn a_check_passes_where_kube_proxy_serves(cluster: &mut Cluster) -> Result<()> {
    cluster.start_kube_proxy(KubeProxyMode::Iptables).await?;
    everything_works(cluster, "IPv4").await
}

/// Every question that can be asked is asked from everywhere, and is answered as it should be.
async fn everything_works(cluster: &Cluster, family: &str) -> Result<()> {
    let output = check(cluster, &["--outside", "always", "-o", "json"]).await?;
    ensure!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_str(&output.stdout)?;
    let questions = report["checks"].as_array().context("a list")?;
    for question in questions {
        ensure!(question["result"] == "ok", "{question}");
    }
    let asked = |check: &str, place: &str| {
        let is_meant = |question: &&Value| {
            question["check"] == check && question["from"]["place"] == place && question["family"] == family
        };
        questions.iter().filter(is_meant).count()
    };
    let nodes = cluster.node_names().len();
    for place in ["pods", "nodes"] {
        for check in CLUSTER_IPS {
            let protocols = if check == "ClusterIP" { 2 } else { 1 };
            ensure!(
                asked(check, place) == nodes * protocols,
                "{check} from {place}: {}",
                output.stdout
            );
        }
    }
    for (place, clients) in [("pods", nodes), ("nodes", nodes), ("outside", 1)] {
        ensure!(
            asked("NodePort", place) == clients * nodes * 2,
            "{place}: {}",
            output.stdout
        );
        // Pods ask their own node.
        let targets = if place == "pods" { 1 } else { nodes };
        let local = asked("externalTrafficPolicy Local", place);
        ensure!(local == clients * targets, "{place}: {}", output.stdout);
    }
    nothing_is_left(cluster).await
}

/// This field of the questions with that result.
fn with_result(report: &Value, result: &str, field: &str) -> BTreeSet<String> {
    let questions = report["checks"].as_array().into_iter().flatten();
    let of = questions.filter(|question| question["result"] == result);
    of.filter_map(|question| Some(question[field].as_str()?.to_owned()))
        .collect()
}

/// Namespaces go with all that is in them.
async fn nothing_is_left(cluster: &Cluster) -> Result<()> {
    let namespaces: Api<Namespace> = Api::all(cluster.client());
    let all = namespaces.list(&ListParams::default()).await?.items;
    let left: Vec<_> = all
        .iter()
        .map(ResourceExt::name_any)
        .filter(|name| name.starts_with("kpr-check"))
        .collect();
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

/// `kubectl kpr check` on the outside client. Any image's name does: the kubelets run kpr's own programs for it.
async fn check(cluster: &Cluster, arguments: &[&str]) -> Result<Output> {
    let check = kubectl_kpr(cluster)?.args(["check", "--image", "kpr"]);
    check.args(arguments).output().await
}
