//! What users see.

use std::time::Duration;

use kpr_crds::conditions;
use serde_json::json;

use crate::support::{Cluster, policy};

#[tokio::test]
async fn available_when_every_node_serves() {
    let cluster = Cluster::with_nodes(&["node-a", "node-b"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster.until_two_datapaths().await;

    cluster.agent("node-a").ready().await;
    cluster
        .until("one is counted", async |c| c.status("default").await.ready_nodes == 1)
        .await;
    assert!(!conditions::is_true(
        &cluster.status("default").await.conditions,
        "Available"
    ));

    cluster.agent("node-b").ready().await;
    cluster.until_available("default").await;
    let status = cluster.status("default").await;
    assert_eq!(
        (status.desired_nodes, status.updated_nodes, status.ready_nodes),
        (2, 2, 2)
    );
    let condition = conditions::find(&status.conditions, "Available").expect("condition");
    assert_eq!(
        (condition.reason.as_str(), condition.observed_generation),
        ("AllNodesReady", Some(1))
    );

    cluster
        .until("it is an Event", async |c| {
            c.events_of("default").await.contains(&"Available".to_owned())
        })
        .await;
    operator.stop().await;
}

#[tokio::test]
async fn status_unchanged_means_no_write() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster
        .until("the node has a datapath", async |c| c.datapath_names().await.len() == 1)
        .await;
    cluster.agent("node-a").ready().await;
    cluster.until_available("default").await;
    cluster.until_quiet().await;
    let mark = cluster.mark();
    let before = cluster.policy("default").await;

    // News that mean nothing to the policy: counters of the agent, a heartbeat of the Node, a label of the policy.
    cluster.agent("node-a").counts(7).await;
    cluster
        .patch_node("node-a", json!({ "metadata": { "annotations": { "heartbeat": "1" } } }))
        .await;
    cluster
        .patch_policy("default", json!({ "metadata": { "labels": { "team": "net" } } }))
        .await;
    cluster
        .stays("nothing is written", Duration::from_secs(1), |c| {
            c.writes_since(mark).is_empty()
        })
        .await;

    operator.stop().await;
    assert_eq!(cluster.policy("default").await.status, before.status);
}

#[tokio::test]
async fn a_restarted_operator_writes_nothing_that_is_there() {
    let cluster = Cluster::with_nodes(&["node-a"]).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster
        .until("the node has a datapath", async |c| c.datapath_names().await.len() == 1)
        .await;
    cluster.agent("node-a").ready().await;
    cluster.until_available("default").await;
    cluster.until_quiet().await;
    operator.stop().await;

    let mark = cluster.mark();
    let operator = cluster.operator().start();
    cluster
        .until("it watches again", async |c| {
            c.requests_since(mark).iter().filter(|r| r.verb == "watch").count() >= 3
        })
        .await;
    cluster
        .stays("nothing is written", Duration::from_secs(1), |c| {
            c.writes_since(mark).is_empty()
        })
        .await;
    operator.stop().await;
}

#[tokio::test]
async fn what_happens_together_is_written_together() {
    const INTERVAL: Duration = Duration::from_secs(1);
    let names: Vec<_> = (0..20).map(|node| format!("node-{node:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let cluster = Cluster::with_nodes(&names).await;
    let _fleet = cluster.fleet();
    let operator = cluster.operator().status_interval(INTERVAL).start();
    cluster.create_policy(policy("default")).await;
    cluster.until_rolled_out("default", 1).await;
    cluster.until_quiet().await;
    let mark = cluster.mark();
    let start = std::time::Instant::now();
    cluster.configure("default", 60).await;
    let said = cluster.until_rolled_out("default", 2).await;
    assert_eq!(said, "20/20 nodes at generation 2");
    let seconds = start.elapsed().as_secs();
    operator.stop().await;
    let writes = cluster.writes_since(mark);
    let statuses = writes
        .iter()
        .filter(|write| write.target() == "kubeproxyreplacements/status");
    let statuses = u64::try_from(statuses.count()).expect("few");
    assert!(statuses <= seconds + 2, "{statuses} writes in {seconds} s");
}
