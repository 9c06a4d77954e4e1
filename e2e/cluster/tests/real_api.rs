//! kpr's API on a real API server: what it takes, what it refuses, and how it looks to kubectl.

use anyhow::{Context as _, Result, ensure};
use kpr_cluster::{
    cluster::Cluster,
    scenario::without_kpr_on,
    spec::{ClusterSpec, ControlPlaneKind},
};
use serde_json::{Value, json};

const CRDS: [&str; 2] = ["kubeproxyreplacements.kpr.dev", "nodedatapaths.kpr.dev"];

/// Two nodes with a real control plane.
fn real() -> ClusterSpec {
    ClusterSpec::default().control_plane(ControlPlaneKind::Real)
}

async fn kubectl(cluster: &Cluster, arguments: &str) -> Result<String> {
    let kubectl = cluster.kubectl()?.args(arguments.split_whitespace());
    kubectl.output().await?.success()
}

/// Installs the CRDs as they are shipped.
async fn install_crds(cluster: &Cluster) -> Result<()> {
    kubectl(cluster, "apply -f crds/").await?;
    for name in CRDS {
        kubectl(
            cluster,
            &format!("wait --for=condition=Established crd/{name} --timeout=30s"),
        )
        .await?;
        // The server looks through a schema after it has taken it, and tells here what it thinks of it.
        let crd = kubectl(cluster, &format!("get crd {name} -o json")).await?;
        let crd: Value = serde_json::from_str(&crd)?;
        let conditions = crd["status"]["conditions"].as_array().context("no conditions")?;
        let doubts: Vec<_> = conditions
            .iter()
            .filter(|condition| condition["type"] == "NonStructuralSchema")
            .collect();
        ensure!(doubts.is_empty(), "{name}: {doubts:?}");
    }
    Ok(())
}

/// What kubectl says to a KubeProxyReplacement of this spec that must be refused.
async fn refusal(cluster: &Cluster, spec: &Value) -> Result<String> {
    let path = cluster.testbed().dir().join("wrong.json");
    let object = json!({
        "apiVersion": "kpr.dev/v1alpha1", "kind": "KubeProxyReplacement", "metadata": {"name": "wrong"}, "spec": spec,
    });
    std::fs::write(&path, object.to_string())?;
    let kubectl = cluster.kubectl()?.args(["create", "-f"]).arg(&path);
    let output = kubectl.output().await?;
    ensure!(!output.status.success(), "{spec} was taken: {}", output.stdout);
    Ok(output.stderr)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_objects_are_refused_with_a_message_that_names_the_field() -> Result<()> {
    without_kpr_on(real(), async |cluster: &mut Cluster| {
        install_crds(cluster).await?;
        for (spec, words) in [
            (
                json!({"nodePort": {"range": "32767-30000"}}),
                ["spec.nodePort.range", "reversed"],
            ),
            (
                json!({"nodePort": {"addresses": ["10.0.0.0/99"]}}),
                ["spec.nodePort.addresses", "must be a CIDR"],
            ),
            (
                json!({"mode": "Sometimes"}),
                ["spec.mode", "supported values: \"Strict\", \"Partial\""],
            ),
            (
                json!({"nodePorts": {}}),
                ["strict decoding error", "unknown field \"spec.nodePorts\""],
            ),
        ] {
            let said = refusal(cluster, &spec).await?;
            for word in words {
                ensure!(said.contains(word), "{spec}: {word:?} is missing in: {said}");
            }
        }
        Ok(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kubectl_shows_what_whoever_runs_kpr_looks_at() -> Result<()> {
    without_kpr_on(real(), async |cluster: &mut Cluster| {
        install_crds(cluster).await?;
        cluster.start_operator().await?;
        cluster.start_agents().await?;
        kubectl(cluster, "apply -f crds/examples/kpr.yaml").await?;
        let met = kubectl(cluster, "wait --for=condition=Available kpr/default --timeout=60s").await?;
        ensure!(met == "kubeproxyreplacement.kpr.dev/default condition met\n", "{met}");

        let rows = table(&kubectl(cluster, "get kpr").await?);
        ensure!(
            rows[0] == ["NAME", "MODE", "DESIRED", "READY", "AVAILABLE", "AGE"],
            "{rows:?}"
        );
        ensure!(rows[1][..5] == ["default", "Strict", "2", "2", "True"], "{rows:?}");
        let rows = table(&kubectl(cluster, "get kpr -o wide").await?);
        ensure!(
            rows[0]
                == [
                    "NAME",
                    "MODE",
                    "DESIRED",
                    "READY",
                    "AVAILABLE",
                    "UPDATED",
                    "REASON",
                    "AGE"
                ],
            "{rows:?}"
        );
        ensure!(rows[1][5] == "2" && !rows[1][6].is_empty(), "{rows:?}");
        let rows = table(&kubectl(cluster, "get nodedatapaths").await?);
        ensure!(
            rows.len() == 3 && rows[1][0] == "node-a" && rows[2][0] == "node-b",
            "{rows:?}"
        );

        let described = kubectl(cluster, "describe kpr default").await?;
        for words in [
            "API Version:  kpr.dev/v1alpha1",
            "Mode:",
            "Conditions:",
            "Available",
            "Observed Generation:",
            "Events:",
        ] {
            ensure!(described.contains(words), "{words:?} is missing in:\n{described}");
        }
        let explained = kubectl(cluster, "explain kpr.spec.nodePort").await?;
        for words in [
            "KIND:       KubeProxyReplacement",
            "FIELD: nodePort <",
            "DESCRIPTION:",
            "range\t<string>",
            "addresses\t<[]string>",
        ] {
            ensure!(explained.contains(words), "{words:?} is missing in:\n{explained}");
        }
        // A field without a description is one that somebody will ask about.
        ensure!(!explained.contains("<no description>"), "{explained}");

        kubectl(cluster, "delete kpr default --timeout=60s").await?;
        let left = kubectl(cluster, "get nodedatapaths -o name").await?;
        ensure!(left.is_empty(), "{left}");
        Ok(())
    })
    .await
}

/// The words of each line.
fn table(text: &str) -> Vec<Vec<String>> {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect();
    text.lines().map(words).collect()
}
