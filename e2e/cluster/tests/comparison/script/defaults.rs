//! What is filled in, for a trial only: the real controllers would begin to work otherwise.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{request::post, server::Server};

#[expect(clippy::too_many_lines, reason = "a script: one request after the other")]
pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    let template = json!({
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "web"}]},
    });
    let workload = |kind: &str, spec: Value| json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web"}, "spec": spec});
    let selector = json!({"matchLabels": {"app": "web"}});
    let apps = "/apis/apps/v1/namespaces/compared";
    let core = "/api/v1/namespaces/compared";
    for (what, path, object) in [
        (
            "a Deployment",
            format!("{apps}/deployments"),
            workload("Deployment", json!({"selector": selector, "template": template})),
        ),
        (
            "a ReplicaSet",
            format!("{apps}/replicasets"),
            workload("ReplicaSet", json!({"selector": selector, "template": template})),
        ),
        (
            "a DaemonSet",
            format!("{apps}/daemonsets"),
            workload("DaemonSet", json!({"selector": selector, "template": template})),
        ),
        (
            "a Deployment without a selector",
            format!("{apps}/deployments"),
            workload("Deployment", json!({"template": template})),
        ),
        (
            "a Deployment that selects others",
            format!("{apps}/deployments"),
            workload(
                "Deployment",
                json!({"selector": {"matchLabels": {"app": "x"}}, "template": template}),
            ),
        ),
        (
            "a Deployment of fewer than none",
            format!("{apps}/deployments"),
            workload(
                "Deployment",
                json!({"replicas": -1, "selector": selector, "template": template}),
            ),
        ),
        (
            "a DaemonSet's strategy",
            format!("{apps}/daemonsets"),
            workload(
                "DaemonSet",
                json!({"selector": selector, "template": template, "updateStrategy": {"rollingUpdate": {"maxUnavailable": "10%"}}}),
            ),
        ),
        ("a Pod", format!("{core}/pods"), super::pod("web")),
        (
            "a Pod with a port",
            format!("{core}/pods"),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"schedulerName": "nobody", "hostNetwork": true,
            "containers": [{"name": "web", "image": "web:1", "ports": [{"containerPort": 80}], "readinessProbe": {"httpGet": {"port": 80}}, "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]}]}}),
        ),
        (
            "a Pod without containers",
            format!("{core}/pods"),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {}}),
        ),
        (
            "a Pod whose containers are called the same",
            format!("{core}/pods"),
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}, "spec": {"containers": [{"name": "a", "image": "a"}, {"name": "a", "image": "b"}]}}),
        ),
        (
            "a Secret",
            format!("{core}/secrets"),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "b"}}),
        ),
        (
            "a Secret that is not coded",
            format!("{core}/secrets"),
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"a": "%"}}),
        ),
        (
            "a ServiceAccount",
            format!("{core}/serviceaccounts"),
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "s"}}),
        ),
        (
            "a Namespace",
            "/api/v1/namespaces".to_owned(),
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "trial"}}),
        ),
        (
            "a Node",
            "/api/v1/nodes".to_owned(),
            json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "trial"}}),
        ),
        (
            "a Lease",
            "/apis/coordination.k8s.io/v1/namespaces/compared/leases".to_owned(),
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"holderIdentity": "me", "leaseDurationSeconds": 15}}),
        ),
        (
            "a Lease that lasts no time",
            "/apis/coordination.k8s.io/v1/namespaces/compared/leases".to_owned(),
            json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"}, "spec": {"leaseDurationSeconds": 0}}),
        ),
        (
            "an Event",
            format!("{core}/events"),
            json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "web", "namespace": "compared"}, "reason": "Tried", "message": "a trial", "type": "Normal"}),
        ),
        (
            "an Event of the other group",
            "/apis/events.k8s.io/v1/namespaces/compared/events".to_owned(),
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "e"}, "regarding": {"kind": "Pod", "name": "web", "namespace": "compared"}, "reason": "Tried", "note": "a trial", "type": "Normal", "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "kpr.dev/x", "reportingInstance": "x", "action": "Try"}),
        ),
        (
            "an EndpointSlice",
            "/apis/discovery.k8s.io/v1/namespaces/compared/endpointslices".to_owned(),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "s"}, "addressType": "IPv4", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
        ),
        (
            "an EndpointSlice of another family",
            "/apis/discovery.k8s.io/v1/namespaces/compared/endpointslices".to_owned(),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "s"}, "addressType": "IPv6", "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 80}]}),
        ),
        (
            "an EndpointSlice of no family",
            "/apis/discovery.k8s.io/v1/namespaces/compared/endpointslices".to_owned(),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "metadata": {"name": "s"}, "addressType": "IPv5", "endpoints": []}),
        ),
    ] {
        server.ask(what, post(format!("{path}?dryRun=All"), &object)).await?;
    }
    Ok(())
}
