//! One operator writes at a time.

use std::time::Duration;

use kpr_operator::Error;

use crate::support::{Cluster, policy};

#[tokio::test]
async fn leader_lost() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    let operator = cluster.operator().elected("one").start();
    cluster
        .until("it is the leader", async |c| {
            c.lease_holder().await.as_deref() == Some("one")
        })
        .await;
    cluster.create_policy(policy("default")).await;
    cluster
        .until("it works", async |c| c.datapath_names().await == ["node-a"])
        .await;

    cluster.give_lease_to("someone-else").await;
    assert!(matches!(operator.ended().await, Err(Error::LeaseLost)));

    let mark = cluster.mark();
    cluster.create_node("node-b").await;
    cluster
        .stays("nothing is written", Duration::from_secs(1), |c| {
            c.writes_since(mark).is_empty()
        })
        .await;
    assert_eq!(cluster.datapath_names().await, ["node-a"]);
    assert_eq!(
        cluster.lease_holder().await.as_deref(),
        Some("someone-else"),
        "it is left to them"
    );
}

#[tokio::test]
async fn a_leader_that_can_not_renew_stops() {
    let mut cluster = Cluster::with_nodes(&["node-a"]).await;
    let operator = cluster.operator().elected("one").start();
    cluster
        .until("it is the leader", async |c| {
            c.lease_holder().await.as_deref() == Some("one")
        })
        .await;
    cluster.goes_away().await;
    assert!(matches!(operator.ended().await, Err(Error::LeaseLost)));
}

#[tokio::test]
async fn the_second_operator_stands_by_and_takes_over() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    let first = cluster.operator().elected("one").start();
    cluster
        .until("the first is the leader", async |c| {
            c.lease_holder().await.as_deref() == Some("one")
        })
        .await;
    let second = cluster.operator().elected("two").start();
    cluster.create_policy(policy("default")).await;
    cluster
        .until("the first works", async |c| c.datapath_names().await == ["node-a"])
        .await;
    assert_eq!(cluster.lease_holder().await.as_deref(), Some("one"));

    first.stop().await;
    cluster
        .until("the second takes over", async |c| {
            c.lease_holder().await.as_deref() == Some("two")
        })
        .await;
    cluster.create_node("node-b").await;
    cluster
        .until("the second works", async |c| {
            c.datapath_names().await == ["node-a", "node-b"]
        })
        .await;
    second.stop().await;
    assert_eq!(
        cluster.lease_holder().await,
        None,
        "an operator that stops gives the lease back"
    );
}

#[tokio::test]
async fn a_lease_that_nobody_renews_is_taken() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    cluster.create_lease_of("crashed").await;
    let operator = cluster.operator().elected("one").start();
    cluster
        .until("it is taken", async |c| {
            c.lease_holder().await.as_deref() == Some("one")
        })
        .await;
    operator.stop().await;
}
