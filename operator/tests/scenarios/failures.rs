//! An API server that misbehaves.

use std::time::Duration;

use kube::ResourceExt;

use crate::support::{Cluster, policy};

/// How long an operator is watched that must not end.
const WHILE: Duration = Duration::from_millis(300);

#[tokio::test]
async fn watch_expired_410() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster
        .until("the node has a datapath", async |c| {
            c.datapath_names().await == ["node-a"]
        })
        .await;
    cluster.until_quiet().await;
    let before = cluster.datapath("node-a").await;

    cluster.expire_watches();
    cluster.create_node("node-b").await;
    cluster
        .until("the operator sees new nodes again", async |c| {
            c.datapath_names().await.len() == 2
        })
        .await;
    operator.stop().await;
    assert_eq!(
        cluster.datapath("node-a").await.resource_version(),
        before.resource_version(),
        "node-a is untouched"
    );
}

#[tokio::test]
async fn api_server_away() {
    let mut cluster = Cluster::with_nodes(&["node-a"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster
        .until("the node has a datapath", async |c| {
            c.datapath_names().await == ["node-a"]
        })
        .await;
    let before = cluster.datapath("node-a").await;

    cluster.goes_away().await;
    cluster.create_node("node-b").await;
    cluster
        .stays("it waits for the API server to come back", WHILE, |_| {
            !operator.has_ended()
        })
        .await;
    cluster.comes_back();

    cluster
        .until("the operator goes on", async |c| {
            c.datapath_names().await == ["node-a", "node-b"]
        })
        .await;
    operator.stop().await;
    assert_eq!(
        cluster.datapath("node-a").await.resource_version(),
        before.resource_version(),
        "node-a is untouched"
    );
}

#[tokio::test]
async fn api_server_away_from_the_start() {
    let mut cluster = Cluster::with_nodes(&["node-a"]).await;
    cluster.create_policy(policy("default")).await;
    cluster.goes_away().await;
    let operator = cluster.operator().start();
    cluster
        .stays("it waits for the API server", WHILE, |_| !operator.has_ended())
        .await;
    cluster.comes_back();
    cluster
        .until("the operator works", async |c| c.datapath_names().await == ["node-a"])
        .await;
    operator.stop().await;
}

#[tokio::test]
async fn crds_that_come_later_are_waited_for() {
    let cluster = Cluster::without_crds();
    cluster.create_node("node-a").await;
    let operator = cluster.operator().start();
    cluster
        .stays("it waits for the CRDs", WHILE, |_| !operator.has_ended())
        .await;
    cluster.install_crds().await;
    cluster.create_policy(policy("default")).await;
    cluster
        .until("the operator works", async |c| c.datapath_names().await == ["node-a"])
        .await;
    operator.stop().await;
}

#[tokio::test]
async fn conflict_retried() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    cluster.fail_next("patch", "kubeproxyreplacements", "default", 409, "Conflict");
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster
        .until("the node has a datapath", async |c| {
            c.datapath_names().await == ["node-a"]
        })
        .await;
    operator.stop().await;
    assert!(
        !cluster.policy("default").await.finalizers().is_empty(),
        "the finalizer was tried again"
    );
    let writes = cluster.writes();
    let codes: Vec<(&str, u16)> = writes
        .iter()
        .filter(|write| write.resource != "events")
        .map(|write| (write.resource.as_str(), write.code))
        .take(3)
        .collect();
    let expected = [
        ("kubeproxyreplacements", 409),
        ("kubeproxyreplacements", 200),
        ("nodedatapaths", 201),
    ];
    assert_eq!(codes, expected, "no datapath before there is a finalizer");
}

#[tokio::test]
async fn a_node_that_can_not_be_written_does_not_keep_others_from_it() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    cluster.fail_next("patch", "nodedatapaths", "node-a", 500, "InternalError");
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster
        .until("both nodes have a datapath", async |c| {
            c.datapath_names().await == ["node-a", "node-b"]
        })
        .await;
    operator.stop().await;
    let of = |node: &str| -> Vec<u16> {
        let mine = cluster
            .writes()
            .into_iter()
            .filter(|write| write.target() == "nodedatapaths" && write.name == node);
        mine.map(|write| write.code).collect()
    };
    assert_eq!(of("node-a").first(), Some(&500));
    assert_eq!(of("node-b"), [201], "written once, and not held up");
}
