//! One operator writes at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use kpr_operator::Error;

use kpr_operator::lease::Timing;

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

/// How an operator ends.
#[derive(Clone, Copy, Debug)]
enum End {
    Crash,
    Stop,
    /// It can do everything but renew its lease.
    NoLease,
}

#[tokio::test]
async fn two_operators_never_both_write() {
    const TIMING: Timing = Timing {
        duration: Duration::from_secs(3),
        renew_deadline: Duration::from_millis(1500),
        retry: Duration::from_millis(200),
    };
    let cluster = Cluster::with_nodes(&["node-a", "node-b", "node-c"]).await;
    let _fleet = cluster.fleet();
    cluster.create_policy(policy("default")).await;
    let start = |name: &str| cluster.operator().elected_with(name, TIMING).start();
    let is_leader = async |name: &str| {
        cluster
            .until("it is the leader", async |c| {
                c.lease_holder().await.as_deref() == Some(name)
            })
            .await;
    };
    let mut timeout = 1000;
    let mut leader = ("operator-0".to_owned(), start("operator-0"));
    let ends = [End::NoLease, End::Crash, End::NoLease, End::Stop, End::NoLease];
    for (number, end) in ends.into_iter().enumerate() {
        is_leader(&leader.0).await;
        let next = format!("operator-{}", number + 1);
        let standby = (next.clone(), start(&next));
        let old = match end {
            End::Crash => {
                drop(leader.1);
                None
            }
            End::Stop => {
                leader.1.stop().await;
                None
            }
            End::NoLease => {
                cluster.refuse_lease_to(&leader.0);
                Some(leader.1)
            }
        };
        // There is work all the time, whoever does it.
        let works = |c: &Cluster| {
            c.all_requests()
                .iter()
                .any(|request| request.is_write() && request.resource != "leases" && request.user_agent == next)
        };
        while !works(&cluster) {
            timeout += 1;
            cluster.configure("default", timeout).await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        is_leader(&next).await;
        if let Some(old) = old {
            assert!(matches!(old.ended().await, Err(Error::LeaseLost)), "{end:?}");
        }
        leader = standby;
    }
    leader.1.stop().await;

    let mut holders: Vec<String> = Vec::new();
    let mut writers = BTreeSet::new();
    for request in cluster.all_requests().iter().filter(|request| request.is_write()) {
        let who = &request.user_agent;
        if request.resource != "leases" {
            assert_eq!(
                holders.last(),
                Some(who),
                "only the holder of the lease writes: {request:?}"
            );
            writers.insert(who.clone());
        } else if request.code < 300 && holders.last() != Some(who) {
            holders.push(who.clone());
        }
    }
    let expected: Vec<_> = (0..6).map(|number| format!("operator-{number}")).collect();
    assert_eq!(holders, expected, "one after the other");
    assert_eq!(writers, expected.into_iter().collect(), "each had work to do");
}
