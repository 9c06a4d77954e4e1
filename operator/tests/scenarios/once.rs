//! What the chart's hooks do: the orderly end, the CRDs, the check.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kpr_operator::once::{check, crds, uninstall};
use kube::Api;

use crate::support::{Cluster, policy};

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_secs(2);

async fn with_datapaths(cluster: &Cluster, nodes: usize) {
    cluster.create_policy(policy("default")).await;
    cluster
        .until("every node has a datapath", async |c| {
            c.datapath_names().await.len() == nodes
        })
        .await;
}

#[tokio::test]
async fn uninstall_ends_when_every_node_is_clean() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    let operator = cluster.operator().start();
    with_datapaths(&cluster, 2).await;

    let ending = tokio::spawn(uninstall(cluster.operator_client(), LONG));
    for node in ["node-a", "node-b"] {
        cluster
            .until("the node is asked to drain", async |c| c.is_draining(node).await)
            .await;
        assert!(!ending.is_finished(), "{node} is not clean yet");
        cluster.agent(node).removed().await;
    }
    ending.await.expect("no panic").expect("everything is gone");
    assert_eq!(cluster.policy_names().await, [] as [&str; 0]);
    assert_eq!(cluster.datapath_names().await, [] as [&str; 0]);
    operator.stop().await;
}

#[tokio::test]
async fn uninstall_gives_up_in_time_and_names_the_nodes_that_are_not_clean() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    let operator = cluster.operator().start();
    with_datapaths(&cluster, 2).await;

    let ending = tokio::spawn(uninstall(cluster.operator_client(), SHORT));
    cluster
        .until("node-a is asked to drain", async |c| c.is_draining("node-a").await)
        .await;
    cluster.agent("node-a").removed().await;
    let error = ending
        .await
        .expect("no panic")
        .expect_err("node-b never answers")
        .to_string();
    assert!(error.contains("KubeProxyReplacement default is not gone"), "{error}");
    assert!(error.contains("node-b") && !error.contains("node-a"), "{error}");
    operator.stop().await;
}

#[tokio::test]
async fn uninstall_has_nothing_to_do_where_there_is_nothing() {
    uninstall(Cluster::without_crds().operator_client(), SHORT)
        .await
        .expect("no CRDs");
    uninstall(Cluster::with_nodes(&["node-a"]).await.operator_client(), SHORT)
        .await
        .expect("no object");
}

#[tokio::test]
async fn check_waits_for_every_node_and_says_what_is_missing() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    let missing = check(cluster.operator_client(), SHORT)
        .await
        .expect_err("nothing is there");
    assert!(
        missing.to_string().starts_with("there is no KubeProxyReplacement"),
        "{missing}"
    );

    let operator = cluster.operator().start();
    with_datapaths(&cluster, 1).await;
    let unavailable = check(cluster.operator_client(), SHORT).await.expect_err("no agent");
    assert!(unavailable.to_string().contains("default: "), "{unavailable}");

    let checking = tokio::spawn(check(cluster.operator_client(), LONG));
    cluster.agent("node-a").ready().await;
    let lines = checking.await.expect("no panic").expect("available");
    assert_eq!(lines, ["default: Available, mode Strict, 1 of 1 nodes ready"]);
    operator.stop().await;
}

#[tokio::test]
async fn crds_are_installed_brought_up_to_date_and_deleted() {
    let cluster = Cluster::without_crds();
    let client = cluster.operator_client();
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    crds::apply(client.clone()).await.expect("first");
    let column_names = async || {
        let crd = api.get("kubeproxyreplacements.kpr.dev").await.expect("CRD");
        let columns = crd.spec.versions[0].additional_printer_columns.clone();
        columns
            .iter()
            .flatten()
            .map(|column| column.name.clone())
            .collect::<Vec<_>>()
    };
    let ours = column_names().await;

    // As an older version had it.
    let older = serde_json::json!([{ "op": "remove", "path": "/spec/versions/0/additionalPrinterColumns/0" }]);
    let patch = kube::api::Patch::Json::<()>(serde_json::from_value(older).expect("patch"));
    api.patch(
        "kubeproxyreplacements.kpr.dev",
        &kube::api::PatchParams::default(),
        &patch,
    )
    .await
    .expect("older");
    assert_ne!(column_names().await, ours);
    crds::apply(client.clone()).await.expect("again");
    assert_eq!(column_names().await, ours);

    crds::delete(client.clone()).await.expect("delete");
    assert!(api.get_opt("nodedatapaths.kpr.dev").await.expect("answer").is_none());
    crds::delete(client).await.expect("there is nothing left to delete");
}
