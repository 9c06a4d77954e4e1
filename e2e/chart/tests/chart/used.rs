//! Rights and needs: everything that an operator asks for in its life is granted by the chart, and everything that is granted is
//! asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::api::core::v1::Node;
use kpr_apiserver::{ApiServer, RequestRecord};
use kpr_chart::{Helm, Rendered};
use kpr_crds::conditions::{self, ConditionStatus, NodeCondition, NodeReason, Observation};
use kpr_crds::{KubeProxyReplacement, NodeDatapath, NodeDatapathStatus, Phase, codegen};
use kpr_operator::connect::Connection;
use kpr_operator::drain::Limits;
use kpr_operator::lease::Timing;
use kpr_operator::run::Election;
use kpr_operator::{Settings, controller, run};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

const OPERATOR: &str = "operator";

/// A verb and what it is for: `patch kpr.dev/nodedatapaths/status`.
type Need = String;

fn need(request: &RequestRecord) -> Need {
    format!("{} {}/{}", request.verb, request.group, request.target())
}

/// Everything that the operator's roles grant, without names and namespaces.
fn granted(rendered: &Rendered) -> BTreeSet<Need> {
    let mut granted = BTreeSet::new();
    let list =
        |rule: &Value, key: &str| -> Vec<String> { serde_json::from_value(rule[key].clone()).unwrap_or_default() };
    let roles = [
        rendered.get("ClusterRole", "kpr-operator"),
        rendered.get("Role", "kpr-operator"),
        rendered.get("Role", "kpr-operator-events"),
        rendered.get("Role", "kpr-operator-kube-proxy"),
    ];
    for role in roles {
        for rule in role.unwrap()["rules"].as_array().unwrap() {
            for group in list(rule, "apiGroups") {
                for resource in list(rule, "resources") {
                    granted.extend(
                        list(rule, "verbs")
                            .iter()
                            .map(|verb| format!("{verb} {group}/{resource}")),
                    );
                }
            }
        }
    }
    granted
}

async fn until(what: &str, holds: impl AsyncFn() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let done = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    assert!(done.is_ok(), "not in time: {what}");
}

/// What an agent says of its node.
async fn report(datapaths: &Api<NodeDatapath>, holds: NodeCondition, reason: NodeReason) {
    let datapath = datapaths.get("node-a").await.unwrap();
    let observation = Observation {
        type_: holds.as_str(),
        status: ConditionStatus::True,
        reason: reason.as_str(),
        message: String::new(),
    };
    let generation = datapath.metadata.generation;
    let now = datapath.creation_timestamp().unwrap().0;
    let status = NodeDatapathStatus {
        observed_generation: generation,
        policy_generation: Some(datapath.spec.policy_generation),
        conditions: conditions::apply(&[], vec![observation], generation, now),
        ..NodeDatapathStatus::default()
    };
    let patch = Patch::Merge(json!({ "status": status }));
    datapaths
        .patch_status("node-a", &PatchParams::default(), &patch)
        .await
        .unwrap();
}

fn settings() -> Settings {
    Settings {
        election: Some(Election {
            namespace: "kube-system".to_owned(),
            timing: Timing {
                duration: Duration::from_secs(1),
                renew_deadline: Duration::from_millis(700),
                retry: Duration::from_millis(100),
            },
        }),
        controller: controller::Settings {
            limits: Limits::default(),
            collect: Duration::from_millis(20),
            status_interval: Duration::from_millis(20),
            kube_proxy: kpr_operator::kube_proxy::Settings::default(),
            identity: OPERATOR.to_owned(),
        },
        first_retry: Duration::from_millis(50),
    }
}

/// An operator's whole life: it becomes the leader, an object comes, its node serves, the object goes, the operator stops.
async fn life(server: &ApiServer) {
    let user: Client = server.client_as("user");
    let policies = Api::<KubeProxyReplacement>::all(user.clone());
    let datapaths = Api::<NodeDatapath>::all(user.clone());
    for crd in codegen::crds() {
        server.create(serde_json::to_value(crd).unwrap()).unwrap();
    }
    let node: Node = serde_json::from_value(json!({"metadata": {"name": "node-a"}})).unwrap();
    Api::all(user).create(&PostParams::default(), &node).await.unwrap();

    let stop = CancellationToken::new();
    let connection = Connection {
        client: server.client_as(OPERATOR),
        url: "in process".to_owned(),
    };
    let operator = tokio::spawn(run(connection, settings(), stop.clone()));
    let policy: KubeProxyReplacement = serde_json::from_value(json!({
        "apiVersion": "kpr.dev/v1alpha1", "kind": "KubeProxyReplacement", "metadata": {"name": "default"}, "spec": {},
    }))
    .unwrap();
    policies.create(&PostParams::default(), &policy).await.unwrap();
    until("the node has a datapath", async || {
        datapaths.get_opt("node-a").await.unwrap().is_some()
    })
    .await;
    until("the object is Available", async || {
        // Again, as agents do: what was said of an earlier spec does not count.
        report(&datapaths, NodeCondition::Ready, NodeReason::Serving).await;
        let status = policies.get("default").await.unwrap().status.unwrap_or_default();
        conditions::is_true(&status.conditions, "Available")
    })
    .await;
    policies.delete("default", &DeleteParams::default()).await.unwrap();
    until("the node is asked to drain", async || {
        datapaths.get("node-a").await.unwrap().spec.phase == Phase::Draining
    })
    .await;
    report(&datapaths, NodeCondition::Removed, NodeReason::Removed).await;
    until("the object is gone", async || {
        policies.get_opt("default").await.unwrap().is_none()
    })
    .await;
    stop.cancel();
    operator.await.unwrap().unwrap();
}

#[tokio::test]
async fn operators_are_granted_what_they_ask_for_and_no_more() {
    let server = ApiServer::new();
    life(&server).await;
    let requests = server.requests();
    let asked: BTreeSet<Need> = requests
        .all()
        .iter()
        .filter(|request| request.user_agent == OPERATOR)
        .map(need)
        .collect();
    let granted = granted(&Helm::default().render().unwrap());
    let missing: Vec<_> = asked.difference(&granted).collect();
    assert!(missing.is_empty(), "asked for and not granted: {missing:?}");
    // An Event that happens again is patched: not in so short a life. Who applies what is not there needs to be allowed to create
    // it, but the request is a patch.
    // And this one has no kube-proxy to park.
    let rare = [
        "patch events.k8s.io/events",
        "create kpr.dev/nodedatapaths",
        "patch apps/daemonsets",
    ];
    let rare = BTreeSet::from(rare.map(str::to_owned));
    let idle: Vec<_> = granted
        .difference(&asked)
        .filter(|need| !rare.contains(*need))
        .collect();
    assert!(idle.is_empty(), "granted and never asked for: {idle:?}");
}
