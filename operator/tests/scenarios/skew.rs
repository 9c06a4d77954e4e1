//! Agents that are older or newer than the operator.

use std::time::Duration;

use crate::support::{Cluster, policy};

#[tokio::test]
async fn fields_that_an_older_agent_does_not_know_are_reported() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster.until_two_datapaths().await;
    cluster.agent("node-a").ready().await;
    cluster.agent("node-b").ready_without(&["spec.loadBalancer.mode"]).await;
    cluster.until_available("default").await;
    cluster
        .until("the fields are named", async |c| {
            let (status, reason, message) = c.condition("default", "Degraded").await;
            (status.as_str(), reason.as_str(), message.as_str())
                == (
                    "True",
                    "UnknownFields",
                    "not carried out, as agents are too old for it: spec.loadBalancer.mode on node-b",
                )
        })
        .await;

    // The agent is updated.
    cluster.agent("node-b").ready().await;
    cluster
        .until("all is well", async |c| {
            c.condition("default", "Degraded").await.0 == "False"
        })
        .await;
    operator.stop().await;
}

#[tokio::test]
async fn what_a_newer_agent_reports_is_kept_and_breaks_nothing() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    cluster.crds_know_more().await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster
        .until("the node has a datapath", async |c| c.datapath_names().await.len() == 1)
        .await;
    cluster.agent("node-a").ready_and_newer("Shiny", "future").await;
    cluster.until_available("default").await;

    cluster.configure("default", 60).await;
    cluster
        .until("the node is told", async |c| c.told().await[0].1 == 2)
        .await;
    cluster.agent("node-a").ready_and_newer("Shiny", "future").await;
    cluster.until_rolled_out("default", 2).await;
    let status = cluster.datapath_json("node-a").await["status"].clone();
    assert_eq!(status["future"]["a"], 1);
    assert_eq!(status["conditions"][1]["type"], "Shiny");

    cluster.until_quiet().await;
    let mark = cluster.mark();
    cluster.agent("node-a").ready_and_newer("Brighter", "future").await;
    cluster
        .stays("it is nothing to the operator", Duration::from_millis(500), |c| {
            c.writes_since(mark).is_empty()
        })
        .await;
    operator.stop().await;
}
