//! kube-proxy is parked while kpr serves, and comes back before kpr goes.

use std::time::Duration;

use kpr_apiserver::RequestRecord;
use kpr_crds::conditions::{self, NodeReason};
use kpr_crds::{KubeProxyRules, Phase};

use crate::support::{Cluster, policy};

const NODES: [&str; 2] = ["node-a", "node-b"];

async fn cluster() -> Cluster {
    let cluster = Cluster::with_nodes(&NODES).await;
    cluster.create_kube_proxy(&NODES).await;
    cluster
}

/// `KubeProxyAbsent` of the policy: status and reason.
async fn says(cluster: &Cluster, reason: &str) -> bool {
    let status = cluster.status("default").await;
    conditions::find(&status.conditions, "KubeProxyAbsent").is_some_and(|condition| condition.reason == reason)
}

async fn until_says(cluster: &Cluster, reason: &str) {
    cluster
        .until(&format!("the policy says {reason}"), async |c| says(c, reason).await)
        .await;
}

async fn rules(cluster: &Cluster, node: &str) -> KubeProxyRules {
    cluster.datapath(node).await.spec.kube_proxy_rules
}

async fn until_told(cluster: &Cluster, node: &str, wanted: KubeProxyRules) {
    let told = async |c: &Cluster| rules(c, node).await == wanted;
    cluster
        .until(&format!("{node} is told {}", wanted.as_str()), told)
        .await;
}

/// One node after the other removes its datapath, and then the policy is gone.
async fn drains_and_goes(cluster: &Cluster) {
    for node in NODES {
        cluster
            .until(&format!("{node} drains"), async |c| c.is_draining(node).await)
            .await;
        cluster.agent(node).removed().await;
    }
    cluster
        .until("the policy is gone", async |c| c.policy_names().await.is_empty())
        .await;
}

/// Parked, no pod left, no rule left.
async fn parked(cluster: &Cluster) {
    cluster.create_policy(policy("default").parks_kube_proxy()).await;
    cluster.until_two_datapaths().await;
    for node in NODES {
        cluster.agent(node).sees_kube_proxy(NodeReason::Running).await;
    }
    cluster
        .until("the DaemonSet is parked", async |c| c.is_parked().await)
        .await;
    for node in NODES {
        cluster.end_kube_proxy_pod(node).await;
        until_told(cluster, node, KubeProxyRules::Remove).await;
        cluster.agent(node).sees_kube_proxy(NodeReason::NotFound).await;
    }
    until_says(cluster, "Parked").await;
}

fn patches(writes: &[RequestRecord]) -> usize {
    writes.iter().filter(|write| write.resource == "daemonsets").count()
}

#[tokio::test]
async fn kube_proxy_parked_then_restored() {
    let cluster = cluster().await;
    let before = cluster.kube_proxy().await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default").parks_kube_proxy()).await;
    cluster.until_two_datapaths().await;

    // One of two nodes serves: nothing happens to kube-proxy.
    cluster.agent("node-a").sees_kube_proxy(NodeReason::Running).await;
    until_says(&cluster, "WaitingForNodes").await;
    cluster.until_quiet().await;
    assert_eq!(patches(&cluster.writes()), 0);
    cluster.agent("node-b").sees_kube_proxy(NodeReason::Running).await;
    cluster
        .until("the DaemonSet is parked", async |c| c.is_parked().await)
        .await;
    let pod = cluster.kube_proxy().await.spec.template.spec.expect("pod");
    let labels = pod.node_selector.expect("labels");
    assert_eq!(labels["kubernetes.io/os"], "linux", "what it asked for before stays");

    // Each node removes the rules once no pod is left on it, and not before.
    cluster.until_quiet().await;
    for node in NODES {
        assert_eq!(rules(&cluster, node).await, KubeProxyRules::Keep, "{node} has its pod");
    }
    cluster.end_kube_proxy_pod("node-a").await;
    until_told(&cluster, "node-a", KubeProxyRules::Remove).await;
    assert_eq!(rules(&cluster, "node-b").await, KubeProxyRules::Keep);
    cluster.end_kube_proxy_pod("node-b").await;
    until_told(&cluster, "node-b", KubeProxyRules::Remove).await;
    for node in NODES {
        cluster.agent(node).sees_kube_proxy(NodeReason::NotFound).await;
    }
    until_says(&cluster, "Parked").await;
    cluster.until_quiet().await;
    assert_eq!(patches(&cluster.writes()), 1, "one patch parks it");
    let status = cluster.status("default").await;
    assert!(conditions::is_true(&status.conditions, "KubeProxyAbsent"), "{status:?}");

    // On the way back, no node removes rules any more before the DaemonSet comes back.
    cluster.delete_policy("default").await;
    for node in NODES {
        until_told(&cluster, node, KubeProxyRules::Keep).await;
    }
    cluster.until_quiet().await;
    assert!(cluster.is_parked().await, "the agents have not taken note yet");
    for node in NODES {
        cluster.agent(node).sees_kube_proxy(NodeReason::NotFound).await;
    }
    cluster
        .until("the DaemonSet is let back", async |c| !c.is_parked().await)
        .await;
    let after = cluster.kube_proxy().await;
    assert_eq!(after.spec, before.spec, "as it was");
    assert_eq!(
        after.metadata.annotations.unwrap_or_default(),
        before.metadata.annotations.unwrap_or_default()
    );

    // A pod that is ready but has no rules yet is not enough for the datapath to go.
    cluster.start_kube_proxy_pod("node-a").await;
    cluster.agent("node-a").sees_kube_proxy(NodeReason::RulesMissing).await;
    until_says(&cluster, "Restoring").await;
    cluster.until_quiet().await;
    for node in NODES {
        assert_eq!(cluster.datapath(node).await.spec.phase, Phase::Active, "{node} waits");
    }
    cluster.agent("node-a").sees_kube_proxy(NodeReason::Running).await;
    cluster
        .until("node-a drains", async |c| c.is_draining("node-a").await)
        .await;
    cluster.agent("node-a").removed().await;
    cluster
        .until("node-a is done", async |c| c.datapath_names().await == ["node-b"])
        .await;
    assert!(!cluster.is_draining("node-b").await, "kube-proxy is not there yet");
    cluster.start_kube_proxy_pod("node-b").await;
    cluster.agent("node-b").sees_kube_proxy(NodeReason::RulesLeft).await;
    cluster
        .until("node-b drains", async |c| c.is_draining("node-b").await)
        .await;
    cluster.agent("node-b").removed().await;
    cluster
        .until("the policy is gone", async |c| c.policy_names().await.is_empty())
        .await;
    operator.stop().await;
    assert_eq!(patches(&cluster.writes()), 2, "one parks it, one lets it back");
    let events = cluster.events_of("default").await;
    for told in ["KubeProxyParked", "KubeProxyRestored"] {
        assert_eq!(events.iter().filter(|event| *event == told).count(), 1, "{events:?}");
    }
    for alarm in ["KubeProxyFound", "KubeProxyNotBack"] {
        assert!(!events.contains(&alarm.to_owned()), "{events:?}");
    }
}

#[tokio::test]
async fn a_kube_proxy_that_does_not_come_back_is_waited_for_so_long() {
    let cluster = cluster().await;
    let operator = cluster.operator().kube_proxy_wait(Duration::from_secs(2)).start();
    parked(&cluster).await;
    cluster.delete_policy("default").await;
    for node in NODES {
        until_told(&cluster, node, KubeProxyRules::Keep).await;
        cluster.agent(node).sees_kube_proxy(NodeReason::NotFound).await;
    }
    drains_and_goes(&cluster).await;
    operator.stop().await;
    assert!(!cluster.is_parked().await, "it is let back all the same");
    let events = cluster.events_of("default").await;
    assert!(events.contains(&"KubeProxyNotBack".to_owned()), "{events:?}");
}

#[tokio::test]
async fn an_operator_that_starts_anew_goes_on_where_the_last_one_was() {
    let cluster = cluster().await;
    let operator = cluster.operator().start();
    parked(&cluster).await;
    operator.stop().await;

    let mark = cluster.mark();
    let operator = cluster.operator().start();
    cluster.until_quiet().await;
    assert_eq!(
        cluster.writes_since(mark).len(),
        0,
        "nothing has changed: {:#?}",
        cluster.writes_since(mark)
    );
    cluster.delete_policy("default").await;
    for node in NODES {
        until_told(&cluster, node, KubeProxyRules::Keep).await;
    }
    operator.stop().await;

    for node in NODES {
        cluster.agent(node).sees_kube_proxy(NodeReason::NotFound).await;
    }
    let operator = cluster.operator().start();
    cluster
        .until("the DaemonSet is let back", async |c| !c.is_parked().await)
        .await;
    operator.stop().await;

    for node in NODES {
        cluster.start_kube_proxy_pod(node).await;
        cluster.agent(node).sees_kube_proxy(NodeReason::Running).await;
        assert!(!cluster.is_draining(node).await);
    }
    let operator = cluster.operator().start();
    drains_and_goes(&cluster).await;
    operator.stop().await;
}

#[tokio::test]
async fn going_back_to_observe_lets_kube_proxy_back_and_keeps_the_datapath() {
    let cluster = cluster().await;
    let operator = cluster.operator().start();
    parked(&cluster).await;
    let observe = serde_json::json!({ "spec": { "kubeProxy": { "policy": "Observe" } } });
    cluster.patch_policy("default", observe).await;
    for node in NODES {
        until_told(&cluster, node, KubeProxyRules::Keep).await;
        assert!(cluster.is_parked().await, "{node} has not taken note yet");
        cluster.agent(node).sees_kube_proxy(NodeReason::NotFound).await;
    }
    // A node may be told of the rules before it is its turn to get the new generation, and answers that too.
    let let_back = async |c: &Cluster| {
        for node in NODES {
            c.agent(node).sees_kube_proxy(NodeReason::NotFound).await;
        }
        !c.is_parked().await
    };
    cluster.until("the DaemonSet is let back", let_back).await;
    cluster.until_quiet().await;
    for node in NODES {
        assert_eq!(cluster.datapath(node).await.spec.phase, Phase::Active);
    }
    operator.stop().await;
}

#[tokio::test]
async fn a_kube_proxy_that_can_not_be_parked_is_reported_and_left_alone() {
    let cluster = Cluster::with_nodes(&NODES).await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default").parks_kube_proxy()).await;
    cluster.until_two_datapaths().await;
    // As in k3s: it runs, and there is nothing of it in the API.
    for node in NODES {
        cluster.agent(node).sees_kube_proxy(NodeReason::Running).await;
    }
    until_says(&cluster, "NotParkable").await;
    // As in RKE2.
    for node in NODES {
        cluster.start_static_kube_proxy_pod(node).await;
    }
    let message = async |c: &Cluster| {
        let status = c.status("default").await;
        let condition = conditions::find(&status.conditions, "KubeProxyAbsent").cloned();
        condition.is_some_and(|condition| condition.message.contains("static pod on node-a, node-b"))
    };
    cluster.until("the policy names the static pods", message).await;
    for node in NODES {
        assert_eq!(rules(&cluster, node).await, KubeProxyRules::Keep);
    }
    operator.stop().await;
    assert_eq!(patches(&cluster.writes()), 0);
}

#[tokio::test]
async fn with_observe_kube_proxy_is_not_touched() {
    let cluster = cluster().await;
    let operator = cluster.operator().start();
    cluster.create_policy(policy("default")).await;
    cluster.until_two_datapaths().await;
    for node in NODES {
        cluster.agent(node).sees_kube_proxy(NodeReason::Running).await;
    }
    until_says(&cluster, "Found").await;
    cluster.until_available("default").await;
    cluster.until_quiet().await;
    operator.stop().await;
    assert_eq!(patches(&cluster.writes()), 0);
    assert!(
        cluster
            .events_of("default")
            .await
            .contains(&"KubeProxyFound".to_owned())
    );
}

#[tokio::test]
async fn a_pool_keeps_kube_proxy_off_its_own_nodes_only() {
    let cluster = cluster().await;
    cluster.label_node("node-a", "pool", "edge").await;
    let operator = cluster.operator().start();
    cluster
        .create_policy(policy("edge").pool("edge").parks_kube_proxy())
        .await;
    cluster
        .until("node-a has a datapath", async |c| {
            c.datapath_names().await == ["node-a"]
        })
        .await;
    let before = cluster.kube_proxy().await;
    cluster.agent("node-a").sees_kube_proxy(NodeReason::Running).await;
    let affinity = async |c: &Cluster| c.kube_proxy().await.spec.template.spec.and_then(|pod| pod.affinity);
    cluster
        .until("it has an affinity", async |c| affinity(c).await.is_some())
        .await;
    assert!(!cluster.is_parked().await, "node-b keeps it");
    let wanted = serde_json::json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "pool", "operator": "NotIn", "values": ["edge"] }] }],
    } } });
    assert_eq!(serde_json::to_value(affinity(&cluster).await).expect("JSON"), wanted);

    cluster.delete_policy("edge").await;
    cluster
        .until("the affinity is gone", async |c| affinity(c).await.is_none())
        .await;
    assert_eq!(cluster.kube_proxy().await.spec, before.spec, "as it was");
    operator.stop().await;
}
