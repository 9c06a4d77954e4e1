//! A change reaches the nodes, or is stopped.

use std::time::Duration;

use kube::ResourceExt;

use crate::support::{Cluster, policy};

/// A configuration; it starts with another one.
const CHANGED: u32 = 60;
const WORDS: &str = "eth7: no such device";

fn pairs(told: &[(&str, i64)]) -> Vec<(String, i64)> {
    told.iter()
        .map(|&(node, generation)| (node.to_owned(), generation))
        .collect()
}

#[tokio::test]
async fn rollout_halts() {
    let (cluster, fleet, operator) = Cluster::serving(policy("default"), &["node-a", "node-b", "node-c"]).await;
    let untouched = cluster.datapath("node-c").await;
    fleet.fails_with("node-b", CHANGED, WORDS);
    cluster.configure("default", CHANGED).await;

    let said = cluster.until_rollout_is("default", "RolloutHalted").await;
    assert_eq!(
        said,
        "halted with 2/3 nodes at generation 2, which failed on node-b: AttachFailed: eth7: no such device"
    );
    let (degraded, reason, _) = cluster.condition("default", "Degraded").await;
    assert_eq!((degraded.as_str(), reason.as_str()), ("True", "NodesFailing"));
    cluster
        .until("it is an Event", async |c| {
            c.events_of("default").await.contains(&"RolloutHalted".to_owned())
        })
        .await;
    cluster.until_quiet().await;
    let mark = cluster.mark();
    cluster
        .stays("nothing more is written", Duration::from_secs(1), |c| {
            c.writes_since(mark).is_empty()
        })
        .await;
    assert_eq!(
        cluster.told().await,
        pairs(&[("node-a", 2), ("node-b", 2), ("node-c", 1)])
    );
    let after = cluster.datapath("node-c").await;
    let version = |datapath: &kpr_crds::NodeDatapath| datapath.resource_version();
    assert_eq!(version(&after), version(&untouched), "node-c is untouched");
    assert_eq!(fleet.most_out(), 1);

    // The user sets the spec back.
    cluster
        .configure("default", untouched.spec.session_affinity.default_timeout_seconds)
        .await;
    let said = cluster.until_rolled_out("default", 3).await;
    assert_eq!(said, "3/3 nodes at generation 3");
    cluster.until_available("default").await;
    assert_eq!(
        cluster
            .status("default")
            .await
            .rollout
            .and_then(|rollout| rollout.failure),
        None
    );
    assert_eq!(fleet.most_out(), 1);
    operator.stop().await;
}

#[tokio::test]
async fn rollback_restores() {
    let nodes = ["node-a", "node-b", "node-c"];
    let (cluster, fleet, operator) = Cluster::serving(policy("default").rollback(), &nodes).await;
    let before = cluster.datapath("node-a").await.spec;
    let untouched = cluster.datapath("node-c").await;
    fleet.fails_with("node-b", CHANGED, WORDS);
    cluster.configure("default", CHANGED).await;

    let said = cluster.until_rollout_is("default", "RolledBack").await;
    assert_eq!(
        said,
        "went back from generation 2, which failed on node-b: AttachFailed: eth7: no such device"
    );
    cluster.until_available("default").await;
    let (degraded, reason, message) = cluster.condition("default", "Degraded").await;
    assert_eq!((degraded.as_str(), reason.as_str()), ("True", "RolloutFailed"));
    assert_eq!(
        message,
        "generation 2 failed on node-b: AttachFailed: eth7: no such device"
    );
    assert_eq!(cluster.datapath("node-a").await.spec, before);
    assert_eq!(cluster.datapath("node-b").await.spec, before);
    let after = cluster.datapath("node-c").await;
    assert_eq!(
        after.resource_version(),
        untouched.resource_version(),
        "node-c is untouched"
    );
    assert_eq!(fleet.most_out(), 1, "on the way there and on the way back");

    // It is not tried again, not even by an operator that starts anew.
    operator.stop().await;
    let mark = cluster.mark();
    let operator = cluster.operator().start();
    cluster.create_node("node-d").await;
    cluster
        .until("a node that joins serves", async |c| {
            c.status("default").await.ready_nodes == 4
        })
        .await;
    assert_eq!(cluster.datapath("node-d").await.spec, before, "with what is good");
    cluster
        .stays("nobody else is written", Duration::from_secs(1), |c| {
            let writes = c.writes_since(mark);
            let mut datapaths = writes.iter().filter(|write| write.resource == "nodedatapaths");
            datapaths.all(|write| write.name == "node-d")
        })
        .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_node_that_is_not_ready_in_time_stops_the_rollout() {
    // The shortest deadline that the API takes.
    let (cluster, fleet, operator) = Cluster::serving(policy("default").deadline(10), &["node-a", "node-b"]).await;
    fleet.is_silent_with("node-a", CHANGED);
    cluster.configure("default", CHANGED).await;
    let said = cluster.until_rollout_is("default", "RolloutHalted").await;
    assert_eq!(
        said,
        "halted with 1/2 nodes at generation 2, which failed on node-a: ProgressDeadlineExceeded: \
         not ready within 10 s: its datapath is not ready"
    );
    assert_eq!(cluster.told().await, pairs(&[("node-a", 2), ("node-b", 1)]));
    operator.stop().await;
}

/// Twenty nodes get a configuration with which none of them gets ready.
async fn bad_rollout(rollback: bool) {
    const NODES: usize = 20;
    const LIMIT: i32 = 3;
    let names: Vec<_> = (0..NODES).map(|node| format!("node-{node:02}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let policy = policy("default").max_unavailable(LIMIT);
    let policy = if rollback { policy.rollback() } else { policy };
    let (cluster, fleet, operator) = Cluster::serving(policy, &names).await;
    for node in names {
        fleet.fails_with(node, CHANGED, WORDS);
    }
    cluster.configure("default", CHANGED).await;

    let end = if rollback { "RolledBack" } else { "RolloutHalted" };
    let said = cluster.until_rollout_is("default", end).await;
    let failed = said.split_once("which failed on node-0").expect("it names the node").1;
    assert_eq!(
        failed.split_once(": ").expect("and says why").1,
        "AttachFailed: eth7: no such device"
    );
    assert_eq!(said.lines().count(), 1);

    cluster.until_quiet().await;
    let told = cluster.told().await;
    let changed = told.iter().filter(|(_, generation)| *generation == 2).count();
    let limit = usize::try_from(LIMIT).expect("small");
    assert!(
        fleet.most_out() <= limit,
        "{} nodes were out at a time",
        fleet.most_out()
    );
    if rollback {
        assert_eq!((changed, fleet.out()), (0, Vec::new()));
        cluster.until_available("default").await;
    } else {
        assert!(changed <= limit, "{changed} nodes were told");
        assert_eq!(
            cluster.status("default").await.ready_nodes,
            20 - u32::try_from(changed).expect("small")
        );
    }
    // What was needed for it: one list of each kind, and no node that was not changed was written a second time.
    let lists = cluster
        .all_requests()
        .into_iter()
        .filter(|request| request.verb == "list");
    let mut lists: Vec<_> = lists.map(|request| request.resource).collect();
    lists.sort();
    // Pods of kube-proxy are known by either of two labels.
    let once = [
        "daemonsets",
        "kubeproxyreplacements",
        "nodedatapaths",
        "nodes",
        "pods",
        "pods",
    ];
    assert_eq!(lists, once);
    let writes = cluster.writes();
    let to_datapaths = writes.iter().filter(|write| write.resource == "nodedatapaths").count();
    let per_change = if rollback { 2 } else { 1 };
    assert!(
        to_datapaths <= NODES + limit * per_change,
        "{to_datapaths} writes of NodeDatapaths"
    );
    operator.stop().await;
}

#[tokio::test]
async fn a_bad_rollout_on_20_nodes_halts_with_no_more_nodes_out_than_may_be() {
    bad_rollout(false).await;
}

#[tokio::test]
async fn a_bad_rollout_on_20_nodes_goes_back_with_no_more_nodes_out_than_may_be() {
    bad_rollout(true).await;
}

#[tokio::test]
async fn an_operator_that_crashes_in_the_middle_of_a_rollout_is_followed_by_one_that_goes_on() {
    let names: Vec<_> = (0..8).map(|node| format!("node-{node}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (cluster, fleet, mut operator) = Cluster::serving(policy("default"), &names).await;
    let mark = cluster.mark();
    cluster.configure("default", CHANGED).await;
    for changed in [2, 4, 6] {
        cluster
            .until("some nodes are told", async |c| {
                c.told().await.iter().filter(|(_, generation)| *generation == 2).count() >= changed
            })
            .await;
        drop(operator);
        operator = cluster.operator().start();
    }
    let said = cluster.until_rolled_out("default", 2).await;
    assert_eq!(said, "8/8 nodes at generation 2");
    operator.stop().await;
    assert_eq!(fleet.most_out(), 1);
    for node in names {
        let writes = cluster.writes_since(mark);
        let mine = writes
            .iter()
            .filter(|write| write.resource == "nodedatapaths" && write.name == node);
        assert_eq!(mine.count(), 1, "{node} is told once");
    }
}
