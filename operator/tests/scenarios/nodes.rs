//! A policy meets its nodes.

use kpr_crds::names::{FINALIZER, POLICY_LABEL};
use kpr_crds::{Phase, Services};
use kube::ResourceExt;

use crate::support::{Cluster, policy};

#[tokio::test]
async fn first_apply() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    let operator = cluster.operator().start();
    let created = cluster.create_policy(policy("default")).await;

    cluster
        .until("both nodes have a datapath", async |c| {
            c.datapath_names().await == ["node-a", "node-b"]
        })
        .await;
    cluster
        .until("the status is written", async |c| {
            c.policy("default").await.status.is_some()
        })
        .await;

    let policy = cluster.policy("default").await;
    assert_eq!(policy.finalizers(), [FINALIZER]);
    let status = policy.status.expect("status");
    assert_eq!(
        (status.observed_generation, status.desired_nodes, status.ready_nodes),
        (Some(1), 2, 0)
    );
    for node in ["node-a", "node-b"] {
        let datapath = cluster.datapath(node).await;
        assert_eq!(
            (datapath.spec.policy.as_str(), datapath.spec.policy_generation),
            ("default", 1)
        );
        assert_eq!(
            (datapath.spec.phase, datapath.spec.services),
            (Phase::Active, Services::ALL)
        );
        assert_eq!(datapath.labels()[POLICY_LABEL], "default");
        let owner = &datapath.owner_references()[0];
        assert_eq!(
            (Some(&owner.uid), owner.controller),
            (created.metadata.uid.as_ref(), Some(true))
        );
        assert_eq!(datapath.status, None, "the status is the agent's");
    }

    operator.stop().await;
    for write in cluster.writes().iter().filter(|write| write.resource != "events") {
        let what = (write.verb.as_str(), write.target(), write.name.as_str());
        let ours = match (what.0, what.1.as_str(), what.2) {
            ("patch", "nodedatapaths", name) => ["node-a", "node-b"].contains(&name),
            ("patch", "kubeproxyreplacements" | "kubeproxyreplacements/status", name) => name == "default",
            _ => false,
        };
        assert!(ours, "nothing else is written: {what:?}");
    }
}

#[tokio::test]
async fn node_joins() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster
        .until("the first node has a datapath", async |c| {
            c.datapath_names().await == ["node-a"]
        })
        .await;
    cluster.agent("node-a").ready().await;
    cluster.until_available("default").await;
    let before = cluster.datapath("node-a").await;

    cluster.create_node("node-b").await;
    cluster
        .until("the new node has one too", async |c| {
            c.datapath_names().await == ["node-a", "node-b"]
        })
        .await;
    cluster
        .until("it is counted", async |c| c.status("default").await.desired_nodes == 2)
        .await;

    operator.stop().await;
    assert_eq!(
        cluster.datapath("node-a").await.resource_version(),
        before.resource_version(),
        "node-a is untouched"
    );
}

#[tokio::test]
async fn node_leaves() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster.until_two_datapaths().await;
    let before = cluster.datapath("node-a").await;

    cluster.delete_node("node-b").await;
    cluster
        .until("its datapath goes with it", async |c| {
            c.datapath_names().await == ["node-a"]
        })
        .await;
    cluster
        .until("it is not counted any more", async |c| {
            c.status("default").await.desired_nodes == 1
        })
        .await;

    operator.stop().await;
    assert_eq!(
        cluster.datapath("node-a").await.resource_version(),
        before.resource_version(),
        "node-a is untouched"
    );
    let drained = cluster
        .events_of("default")
        .await
        .iter()
        .any(|reason| reason == "Draining");
    assert!(!drained, "there is no node to drain");
}

#[tokio::test]
async fn a_change_waits_until_the_last_node_serves_with_it() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster.until_two_datapaths().await;
    cluster.agent("node-a").ready().await;
    cluster.agent("node-b").ready().await;
    cluster.until_available("default").await;

    cluster
        .patch_policy(
            "default",
            serde_json::json!({ "spec": { "sessionAffinity": { "enabled": false } } }),
        )
        .await;
    cluster
        .until("node-a is told", async |c| {
            c.datapath("node-a").await.spec.policy_generation == 2
        })
        .await;
    cluster
        .until("the status says so", async |c| {
            c.status("default").await.observed_generation == Some(2)
        })
        .await;
    assert_eq!(
        cluster.datapath("node-b").await.spec.policy_generation,
        1,
        "one node at a time"
    );

    cluster.agent("node-a").ready().await;
    cluster
        .until("node-b is told", async |c| {
            c.datapath("node-b").await.spec.policy_generation == 2
        })
        .await;
    cluster.agent("node-b").ready().await;
    cluster
        .until("all are counted", async |c| {
            c.status("default").await.updated_nodes == 2
        })
        .await;
    operator.stop().await;
}
