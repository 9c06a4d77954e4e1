//! Binds pods to nodes.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use anyhow::Result;
use futures::StreamExt as _;
use k8s_openapi::{
    api::core::v1::{Binding, Node, ObjectReference, Pod},
    apimachinery::pkg::apis::meta::v1::{ObjectMeta, Status},
};
use kube::{
    Api, Client, ResourceExt as _,
    api::{ListParams, PostParams},
    runtime::{
        Controller,
        controller::{self, Action},
        watcher,
    },
};

use super::{Failure, pods, retry_soon};

/// Pause before another look at a pod that fits no node.
const UNSCHEDULABLE: Duration = Duration::from_millis(500);

/// Runs until it is dropped.
pub(super) async fn run(client: Client) {
    let pods: Api<Pod> = Api::all(client.clone());
    Controller::new(pods, watcher::Config::default())
        // One after the other: each decision counts the pods of those before it.
        .with_config(controller::Config::default().concurrency(1))
        .run(reconcile, retry_soon, Arc::new(client))
        .for_each(|_done| std::future::ready(()))
        .await;
}

async fn reconcile(pod: Arc<Pod>, client: Arc<Client>) -> Result<Action, Failure> {
    if !needs_node(&pod) {
        return Ok(Action::await_change());
    }
    let nodes = Api::<Node>::all((*client).clone())
        .list(&ListParams::default())
        .await?
        .items;
    let others = Api::<Pod>::all((*client).clone())
        .list(&ListParams::default())
        .await?
        .items;
    // The cache may lag behind a decision of ours.
    if !others.iter().any(|other| other.uid() == pod.uid() && needs_node(other)) {
        return Ok(Action::await_change());
    }
    let Some(node) = choose(&pod, &nodes, &others) else {
        return Ok(Action::requeue(UNSCHEDULABLE));
    };
    let binding = Binding {
        metadata: ObjectMeta {
            name: pod.metadata.name.clone(),
            ..ObjectMeta::default()
        },
        target: ObjectReference {
            kind: Some("Node".to_owned()),
            name: Some(node.to_owned()),
            ..ObjectReference::default()
        },
    };
    let api: Api<Pod> = Api::namespaced((*client).clone(), &pod.namespace().unwrap_or_default());
    let _: Status = api
        .create_subresource("binding", &pod.name_any(), &PostParams::default(), &binding)
        .await?;
    Ok(Action::await_change())
}

fn needs_node(pod: &Pod) -> bool {
    let scheduler = pod.spec.as_ref().and_then(|spec| spec.scheduler_name.as_deref());
    scheduler.is_none_or(|name| name == "default-scheduler")
        && pods::node_name(pod).is_none()
        && !pods::is_terminating(pod)
        && !pods::is_finished(pod)
}

/// The Ready node with the fewest pods of the same controller, then with the fewest pods at all, then the first.
fn choose<'n>(pod: &Pod, nodes: &'n [Node], pods: &[Pod]) -> Option<&'n str> {
    let controller = controller_of(pod);
    nodes
        .iter()
        .filter(|node| accepts(node, pod))
        .filter_map(|node| node.metadata.name.as_deref())
        .min_by_key(|name| {
            let here = || {
                pods.iter()
                    .filter(|other| pods::node_name(other) == Some(*name) && !pods::is_finished(other))
            };
            let siblings = here().filter(|other| controller.is_some() && controller_of(other) == controller);
            (siblings.count(), here().count(), *name)
        })
}

fn controller_of(pod: &Pod) -> Option<&str> {
    let owners = pod.metadata.owner_references.iter().flatten();
    owners
        .into_iter()
        .find(|owner| owner.controller == Some(true))
        .map(|owner| owner.uid.as_str())
}

fn accepts(node: &Node, pod: &Pod) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions
        .into_iter()
        .any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let cordoned = node.spec.as_ref().and_then(|spec| spec.unschedulable).unwrap_or(false);
    let empty = BTreeMap::new();
    let wanted = pod
        .spec
        .as_ref()
        .and_then(|spec| spec.node_selector.as_ref())
        .unwrap_or(&empty);
    ready && !cordoned && wanted.iter().all(|(key, value)| node.labels().get(key) == Some(value))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn node(name: &str, ready: &str) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        }))
        .expect("a node")
    }

    fn pod(owner: &str, node: Option<&str>, selector: &Value) -> Pod {
        let owner =
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": owner, "uid": owner, "controller": true});
        serde_json::from_value(json!({
            "metadata": {"name": "pod", "ownerReferences": [owner]},
            "spec": {"containers": [], "nodeName": node, "nodeSelector": selector},
        }))
        .expect("a pod")
    }

    #[test]
    fn pods_of_one_controller_are_spread_over_the_ready_nodes() {
        let nodes = [node("a", "True"), node("b", "True"), node("c", "False")];
        let new = pod("web", None, &Value::Null);
        assert_eq!(choose(&new, &nodes, &[]), Some("a"));
        let others = [
            pod("web", Some("a"), &Value::Null),
            pod("db", Some("b"), &Value::Null),
            pod("db", Some("b"), &Value::Null),
        ];
        assert_eq!(choose(&new, &nodes, &others), Some("b"));
    }

    #[test]
    fn a_node_selector_is_obeyed_and_an_impossible_one_leaves_the_pod_pending() {
        let nodes = [node("a", "True"), node("b", "True")];
        assert_eq!(
            choose(&pod("web", None, &json!({"kubernetes.io/hostname": "b"})), &nodes, &[]),
            Some("b")
        );
        assert_eq!(choose(&pod("web", None, &json!({"disk": "ssd"})), &nodes, &[]), None);
    }
}
