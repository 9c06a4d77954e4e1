//! kpr as its Helm chart installs it, on a real control plane: with the chart's own roles, capabilities and mounts.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kpr_crds::NodeDatapath;
use kube::{Api, ResourceExt as _, api::ListParams};
use serde_json::{Value, json};

use super::{TCP_PORT, Vantage, Workload, audit, install, plugin::answers::every_node_answers, removal::Before};
use crate::cluster::{Cluster, NAMESPACE, RELEASE, eventually};

/// How long something may take to show.
const PATIENCE: Duration = Duration::from_mins(1);

/// Install, upgrade under traffic, test, uninstall: no request fails, no right is lacking or unused, nothing is left.
pub async fn a_release_comes_changes_and_goes(cluster: &mut Cluster) -> Result<()> {
    let before = Before::of(cluster)?;
    cluster
        .helm_release("install", &["kubeProxyReplacement=strict"])
        .await?
        .success()?;
    available(cluster).await?;
    looks_good(cluster).await?;
    operators_log_otherwise_and_go_on(cluster).await?;

    let web = Workload::named("web").replicas(2).node_port().deploy(cluster).await?;
    let targets = node_ports(cluster, &web)?;
    for target in &targets {
        web.served(cluster, &Vantage::Outside, *target, 2).await?;
    }
    every_node_answers(cluster, &web).await?;
    agents_write_nothing_but_their_own_status(cluster).await?;

    // Every pod is new, and the datapath has another configuration.
    let mut loads = Vec::new();
    for target in &targets {
        loads.push(Vantage::Outside.load(cluster, *target, 4).await?);
    }
    let values = [
        "kubeProxyReplacement=strict",
        "sessionAffinity.defaultTimeoutSeconds=60",
        "log.level=debug",
        "operator.drainNodeDownSeconds=61",
    ];
    cluster.helm_release("upgrade", &values).await?.success()?;
    told_timeout(cluster, 60).await?;
    available(cluster).await?;
    for load in loads {
        let tally = load.finish().await?;
        ensure!(tally.failed() == 0, "requests failed during the upgrade: {tally:?}");
        ensure!(tally.answered() >= 100, "too little traffic to tell: {tally:?}");
    }
    helm(cluster, &["test", RELEASE]).await?;

    let rights = audit::rights(cluster).await?;
    audit::none_denied(&audit::requests(cluster)?)?;
    helm(cluster, &["uninstall", RELEASE, "--wait", "--timeout", "3m"]).await?;
    is_gone(cluster).await?;
    before.is_restored(cluster)?;

    let requests = audit::requests(cluster)?;
    // By others' tokens requests come in until their pods have ended, and roles go before.
    audit::none_denied(requests.iter().filter(|request| request.is_by("kpr-uninstall")))?;
    let unused = audit::unused(&rights, &requests);
    ensure!(unused.is_empty(), "the roles give rights that nobody uses: {unused:#?}");
    Ok(())
}

/// Waits until every node serves with this session affinity's time-out.
async fn told_timeout(cluster: &Cluster, seconds: u32) -> Result<()> {
    let datapaths: Api<NodeDatapath> = Api::all(cluster.client());
    eventually(
        &format!("every node has a time-out of {seconds} s"),
        PATIENCE,
        || async {
            for node in cluster.node_names() {
                let datapath = datapaths.get(&node).await?;
                let told = datapath.spec.session_affinity.default_timeout_seconds;
                let ready = install::is_ready(&datapath);
                if told != seconds || !ready {
                    return Ok(Err(format!("{node} was told {told}, ready: {ready}")));
                }
            }
            Ok(Ok(()))
        },
    )
    .await
}

async fn helm(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let launch = cluster.helm()?.args(["--namespace", NAMESPACE]).args(arguments);
    launch.output().await?.success()
}

/// As a user waits for it.
async fn available(cluster: &Cluster) -> Result<()> {
    let wait = ["wait", "--for=condition=Available", "kpr/default", "--timeout=60s"];
    let waited = cluster.kubectl()?.args(wait).output().await?.success();
    if let Err(error) = waited {
        let described = cluster
            .kubectl()?
            .args(["describe", "kpr,nodedatapath"])
            .output()
            .await?;
        return Err(error).context(described.stdout);
    }
    Ok(())
}

/// What users look at first says what they need.
async fn looks_good(cluster: &Cluster) -> Result<()> {
    let nodes = cluster.node_names().len();
    let table = kubectl(cluster, &["get", "kpr"]).await?;
    let row = table.lines().nth(1).context("no row")?;
    for part in ["default", "Strict", &nodes.to_string(), "True"] {
        ensure!(row.split_whitespace().any(|cell| cell == part), "no {part} in\n{table}");
    }
    let wide = kubectl(cluster, &["get", "kpr", "-o", "wide"]).await?;
    ensure!(
        wide.lines().next().map(str::len) > table.lines().next().map(str::len),
        "no more columns in\n{wide}"
    );
    let described = kubectl(cluster, &["describe", "kpr", "default"]).await?;
    for part in ["Available", "Progressing", "Degraded", "Events:"] {
        ensure!(described.contains(part), "no {part} in\n{described}");
    }
    let explained = kubectl(cluster, &["explain", "kpr.spec.nodePort"]).await?;
    for part in ["FIELDS:", "range", "addresses", "bindProtection"] {
        ensure!(explained.contains(part), "no {part} in\n{explained}");
    }
    // In the agent's own container, as an operator of the cluster would ask.
    for pod in agents(cluster).await? {
        let status = cluster.exec(&pod, &["kpr", "status"])?.output().await?.success()?;
        ensure!(status.contains("KubeProxyReplacement"), "{status}");
    }
    Ok(())
}

/// What operators log changes with their ConfigMap, by hand and by an upgrade of that value alone, and no operator ends for it.
async fn operators_log_otherwise_and_go_on(cluster: &Cluster) -> Result<()> {
    let operators = pods(cluster, "kpr-operator").await?;
    ensure!(operators.len() == 2, "{} operators", operators.len());
    let edit = ["--namespace", NAMESPACE, "edit", "configmap", "kpr-operator-log"];
    let edit = cluster
        .kubectl()?
        .env("KUBE_EDITOR", "sed -i s/info/info,kpr_operator=debug/")
        .args(edit);
    edit.output().await?.success()?;
    every_log_has(cluster, &operators, "log lines are filtered by info,kpr_operator=debug").await?;
    // Something for the leader to tell about. The other one tells in each detail that it is none.
    kubectl(cluster, &["label", "kpr", "default", "tried=levels"]).await?;
    every_log_has(cluster, &operators, " DEBUG ").await?;

    let level = ["kubeProxyReplacement=strict", "operator.log.level=warn"];
    cluster.helm_release("upgrade", &level).await?.success()?;
    every_log_has(cluster, &operators, "log lines are filtered by warn").await?;
    let runs = |pods: &[Pod]| -> Vec<(Option<String>, i32)> {
        let restarts = |pod: &Pod| {
            let statuses = pod
                .status
                .iter()
                .flat_map(|status| status.container_statuses.iter().flatten());
            statuses.map(|status| status.restart_count).sum()
        };
        pods.iter().map(|pod| (pod.uid(), restarts(pod))).collect()
    };
    let after = pods(cluster, "kpr-operator").await?;
    ensure!(runs(&after) == runs(&operators), "operators ended: {after:#?}");
    Ok(())
}

async fn every_log_has(cluster: &Cluster, pods: &[Pod], line: &str) -> Result<()> {
    eventually(&format!("every operator tells {line:?}"), PATIENCE, || async {
        for pod in pods {
            let log = cluster.logs(pod)?;
            if !log.contains(line) {
                return Ok(Err(format!("{}:\n{log}", pod.name_any())));
            }
        }
        Ok(Ok(()))
    })
    .await
}

async fn kubectl(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    cluster.kubectl()?.args(arguments).output().await?.success()
}

async fn pods(cluster: &Cluster, component: &str) -> Result<Vec<Pod>> {
    let pods: Api<Pod> = Api::namespaced(cluster.client(), NAMESPACE);
    let of_component = ListParams::default().labels(&format!("app.kubernetes.io/name={component}"));
    Ok(pods.list(&of_component).await?.items)
}

async fn agents(cluster: &Cluster) -> Result<Vec<Pod>> {
    let agents = pods(cluster, "kpr-agent").await?;
    ensure!(agents.len() == cluster.node_names().len(), "{} agents", agents.len());
    Ok(agents)
}

/// The token of an agent is good for the status of its own node's object, and for no other's.
async fn agents_write_nothing_but_their_own_status(cluster: &Cluster) -> Result<()> {
    for pod in agents(cluster).await? {
        let own = crate::control::pods::node_name(&pod).context("the pod is bound to no node")?;
        for node in cluster.node_names() {
            let allowed = node == own;
            let as_agent = cluster.client_of_pod(&pod)?;
            let datapaths: Api<NodeDatapath> = Api::all(as_agent);
            let patch = kube::api::Patch::Merge(json!({"status": {"agentVersion": "tried"}}));
            let params = kube::api::PatchParams {
                dry_run: true,
                ..kube::api::PatchParams::default()
            };
            let written = datapaths.patch_status(&node, &params, &patch).await;
            match written {
                Ok(_) if allowed => {}
                Err(kube::Error::Api(status)) if !allowed => {
                    ensure!(
                        status.message.contains("node"),
                        "refused, but not for its node: {status:?}"
                    );
                }
                Ok(_) => anyhow::bail!("the agent of {own} may write the status of {node}"),
                Err(error) => return Err(error).context(format!("the agent of {own} writes the status of {node}")),
            }
        }
    }
    Ok(())
}

fn node_ports(cluster: &Cluster, web: &super::Deployed) -> Result<Vec<SocketAddr>> {
    let nodes = cluster.node_names();
    nodes
        .iter()
        .map(|node| web.node_port(cluster, node, TCP_PORT))
        .collect()
}

/// Nothing of the release is in the API but its CRDs.
async fn is_gone(cluster: &Cluster) -> Result<()> {
    let kinds = "all,serviceaccounts,configmaps,secrets,roles,rolebindings,clusterroles,clusterrolebindings,\
                 poddisruptionbudgets,validatingadmissionpolicies,validatingadmissionpolicybindings,kpr,nodedatapaths";
    eventually("nothing of the release is in the API", PATIENCE, || async {
        let ours = ["get", kinds, "--all-namespaces", "--output=json"];
        let left: Value = serde_json::from_str(&kubectl(cluster, &ours).await?)?;
        let left: Vec<String> = left["items"]
            .as_array()
            .context("no list")?
            .iter()
            .filter(|object| {
                let metadata = &object["metadata"];
                metadata["labels"]["app.kubernetes.io/instance"] == RELEASE
                    || metadata["name"].as_str().is_some_and(|name| name.starts_with("kpr-"))
                    || object["apiVersion"]
                        .as_str()
                        .is_some_and(|version| version.starts_with("kpr.dev/"))
            })
            .map(|object| format!("{} {}", object["kind"], object["metadata"]["name"]))
            .collect();
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        })
    })
    .await?;
    let crds = kubectl(cluster, &["get", "crds", "--output=name"]).await?;
    ensure!(
        crds.contains("kubeproxyreplacements.kpr.dev"),
        "Helm took the CRDs away: {crds}"
    );
    Ok(())
}
