//! Several policies.

use kpr_crds::conditions;
use kube::ResourceExt;
use serde_json::json;

use crate::support::{Cluster, policy};

#[tokio::test]
async fn two_claims() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    cluster.label_node("node-a", "pool", "edge").await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("older").pool("edge")).await;
    cluster
        .until("the older one has its node", async |c| {
            c.datapath_names().await == ["node-a"]
        })
        .await;
    let before = cluster.datapath("node-a").await;

    // Creation times have whole seconds.
    cluster.next_second().await;
    cluster.create_policy(policy("younger")).await;
    cluster
        .until("the younger one has the rest", async |c| {
            c.datapath_names().await == ["node-a", "node-b"]
        })
        .await;
    cluster
        .until("the younger one says so", async |c| {
            conditions::is_true(&c.status("younger").await.conditions, "Conflicted")
        })
        .await;

    let status = cluster.status("younger").await;
    let message = &conditions::find(&status.conditions, "Conflicted")
        .expect("condition")
        .message;
    assert_eq!(
        message,
        "1 node that \"younger\" selects belongs to an older KubeProxyReplacement: node-a to \"older\""
    );
    assert_eq!(status.desired_nodes, 1);
    let older = cluster.status("older").await;
    assert!(!conditions::is_true(&older.conditions, "Conflicted"));

    cluster
        .until("it is an Event", async |c| {
            c.events_of("younger").await.contains(&"Conflicted".to_owned())
        })
        .await;
    operator.stop().await;
    let after = cluster.datapath("node-a").await;
    assert_eq!(
        after.resource_version(),
        before.resource_version(),
        "the younger one does not touch it"
    );
    assert_eq!(cluster.datapath("node-b").await.spec.policy, "younger");
}

#[tokio::test]
async fn a_node_goes_from_one_pool_to_the_other_without_being_drained() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("first")).await;
    cluster
        .until("it has the node", async |c| c.datapath_names().await == ["node-a"])
        .await;
    cluster.agent("node-a").ready().await;
    cluster.until_available("first").await;
    let uid = cluster.datapath("node-a").await.uid();
    cluster.create_policy(policy("second")).await;
    cluster
        .until("the second waits", async |c| c.policy("second").await.status.is_some())
        .await;

    cluster.delete_policy("first").await;
    cluster
        .until("the first is gone", async |c| c.policy_names().await == ["second"])
        .await;

    operator.stop().await;
    let datapath = cluster.datapath("node-a").await;
    assert_eq!(datapath.spec.policy, "second");
    assert_eq!(datapath.uid(), uid, "it is the same object: never deleted in between");
    assert_eq!(
        cluster
            .events_of("first")
            .await
            .iter()
            .filter(|reason| *reason == "Draining")
            .count(),
        0
    );
}

#[tokio::test]
async fn a_node_that_leaves_its_pool_is_drained() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    cluster.label_node("node-a", "pool", "edge").await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default").pool("edge")).await;
    cluster
        .until("it has the node", async |c| c.datapath_names().await == ["node-a"])
        .await;
    cluster.agent("node-a").ready().await;

    cluster
        .patch_node("node-a", json!({ "metadata": { "labels": { "pool": "core" } } }))
        .await;
    cluster
        .until("the node is asked to drain", async |c| c.is_draining("node-a").await)
        .await;
    cluster.agent("node-a").removed().await;
    cluster
        .until("its datapath is deleted", async |c| c.datapath_names().await.is_empty())
        .await;

    operator.stop().await;
    assert_eq!(cluster.policy_names().await, ["default"], "the policy stays");
}

#[tokio::test]
async fn a_node_whose_labels_change_goes_to_the_other_pool_as_it_is() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    cluster.label_node("node-a", "pool", "edge").await;
    let fleet = cluster.fleet();
    let operator = cluster.operator().start();
    cluster.create_policy(policy("edge").pool("edge")).await;
    cluster.create_policy(policy("core").pool("core")).await;
    cluster.until_available("edge").await;
    let before = cluster.datapath("node-a").await;

    cluster.label_node("node-a", "pool", "core").await;
    cluster.until_available("core").await;
    cluster
        .until("the first pool is empty", async |c| {
            c.status("edge").await.desired_nodes == 0
        })
        .await;
    operator.stop().await;
    let after = cluster.datapath("node-a").await;
    assert_eq!(
        (after.spec.policy.as_str(), before.spec.policy.as_str()),
        ("core", "edge")
    );
    assert_eq!(after.uid(), before.uid(), "it is the same object");
    assert_eq!(fleet.most_out(), 0, "it never stopped serving");
    for policy in ["edge", "core"] {
        let events = cluster.events_of(policy).await;
        assert!(!events.contains(&"Draining".to_owned()), "{policy}: {events:?}");
    }
}
