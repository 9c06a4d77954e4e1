//! The end of a policy.

use std::time::Duration;

use crate::support::{Cluster, policy};

#[tokio::test]
async fn delete_drains_then_releases() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster.until_two_datapaths().await;
    cluster.agent("node-a").ready().await;
    cluster.agent("node-b").ready().await;
    cluster.until_available("default").await;

    cluster.delete_policy("default").await;
    cluster
        .until("node-a is asked to drain", async |c| c.is_draining("node-a").await)
        .await;
    cluster.until_quiet().await;
    assert!(!cluster.is_draining("node-b").await, "one at a time");
    assert_eq!(
        cluster.policy_names().await,
        ["default"],
        "the policy waits for its nodes"
    );

    cluster.agent("node-a").removed().await;
    cluster
        .until("node-a is done", async |c| c.datapath_names().await == ["node-b"])
        .await;
    cluster
        .until("node-b is asked to drain", async |c| c.is_draining("node-b").await)
        .await;
    assert_eq!(
        cluster.policy_names().await,
        ["default"],
        "the policy waits for the other node"
    );

    cluster.agent("node-b").removed().await;
    cluster
        .until("the policy is gone", async |c| c.policy_names().await.is_empty())
        .await;
    assert_eq!(cluster.datapath_names().await, [] as [&str; 0]);

    operator.stop().await;
    let events = cluster.events_of("default").await;
    assert!(events.contains(&"Draining".to_owned()), "{events:?}");
    assert!(!events.contains(&"RemovalNotConfirmed".to_owned()), "{events:?}");
}

#[tokio::test]
async fn finalizer_blocked_by_dead_node() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    let wait = Duration::from_secs(2);
    let operator = cluster.operator().node_down_wait(wait).start();
    cluster.create_policy(policy("default")).await;
    cluster.until_two_datapaths().await;

    cluster.node_down("node-b").await;
    cluster.delete_policy("default").await;
    cluster
        .until("node-a is asked to drain", async |c| c.is_draining("node-a").await)
        .await;
    cluster.agent("node-a").removed().await;
    cluster
        .until("node-a is done", async |c| c.datapath_names().await == ["node-b"])
        .await;
    assert_eq!(
        cluster.policy_names().await,
        ["default"],
        "the dead node is waited for at first"
    );

    cluster
        .until("the policy is gone all the same", async |c| {
            c.policy_names().await.is_empty()
        })
        .await;
    operator.stop().await;
    let events = cluster.events_of("default").await;
    assert_eq!(
        events.iter().filter(|reason| *reason == "RemovalNotConfirmed").count(),
        1,
        "{events:?}"
    );
}

#[tokio::test]
async fn a_restarted_operator_goes_on_with_the_removal() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster
        .until("the node has a datapath", async |c| c.datapath_names().await.len() == 1)
        .await;
    cluster.delete_policy("default").await;
    cluster
        .until("the node is asked to drain", async |c| c.is_draining("node-a").await)
        .await;
    operator.stop().await;
    let since = cluster.datapath("node-a").await.metadata.annotations;

    cluster.agent("node-a").removed().await;
    assert_eq!(
        cluster.policy_names().await,
        ["default"],
        "nobody is there to release it"
    );
    assert_eq!(cluster.datapath("node-a").await.metadata.annotations, since);
    let operator = cluster.operator().start();
    cluster
        .until("the policy is gone", async |c| c.policy_names().await.is_empty())
        .await;
    operator.stop().await;
}
