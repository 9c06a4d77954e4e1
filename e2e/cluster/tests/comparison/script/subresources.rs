//! `status` and `scale`.

use anyhow::Result;
use serde_json::json;

use super::{
    PODS,
    custom_objects::{GADGETS, gadget},
};
use crate::{
    request::{get, patch, post, put},
    server::Server,
};

#[expect(clippy::too_many_lines, reason = "a script: one request after the other")]
pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    let mut object = gadget("sub", &json!({"size": 3}));
    object["status"] = json!({"ready": true});
    server
        .ask("a status at birth is forgotten", post(GADGETS, &object))
        .await?;
    let status = format!("{GADGETS}/sub/status");
    let mut current = server.silently(get(format!("{GADGETS}/sub"))).await?.body();
    current["status"] = json!({"ready": true, "replicas": 2});
    current["spec"]["size"] = 9.into();
    current["metadata"]["labels"] = json!({"from": "status"});
    server
        .ask("a status is put, and nothing else", put(&status, &current))
        .await?;
    server
        .ask("and put again from a version that has passed", put(&status, &current))
        .await?;
    server
        .ask(
            "a status is merged",
            patch(
                "merge",
                &status,
                &json!({"status": {"ready": false}, "spec": {"size": 9}, "metadata": {"annotations": {"a": "b"}}}),
            ),
        )
        .await?;
    server
        .ask(
            "a status is merged with the same",
            patch("merge", &status, &json!({"status": {"ready": false}})),
        )
        .await?;
    server
        .ask(
            "a wrong status",
            patch("merge", &status, &json!({"status": {"ready": "yes"}})),
        )
        .await?;
    server
        .ask(
            "an unknown field of a status",
            patch(
                "merge",
                format!("{status}?fieldValidation=Strict"),
                &json!({"status": {"shade": "dark"}}),
            ),
        )
        .await?;
    let applied = json!({"apiVersion": "compare.kpr.dev/v1", "kind": "Gadget", "metadata": {"name": "sub"}, "status": {"observedGeneration": 1}});
    server
        .ask(
            "a status is applied",
            patch("apply", format!("{status}?fieldManager=agent&force=true"), &applied),
        )
        .await?;
    server.ask("a status is read", get(&status)).await?;
    let mut missing = applied.clone();
    missing["metadata"]["name"] = "none".into();
    server
        .ask(
            "a status of nothing is applied",
            patch("apply", format!("{GADGETS}/none/status?fieldManager=agent"), &missing),
        )
        .await?;

    let scale = format!("{GADGETS}/sub/scale");
    server.ask("a scale is read", get(&scale)).await?;
    server
        .ask(
            "a scale is merged",
            patch("merge", &scale, &json!({"spec": {"replicas": 5}})),
        )
        .await?;
    server
        .ask(
            "a scale that is too large",
            patch("merge", &scale, &json!({"spec": {"replicas": 500}})),
        )
        .await?;
    server.ask("what came of it", get(format!("{GADGETS}/sub"))).await?;

    let widgets = "/apis/compare.kpr.dev/v1/namespaces/compared/widgets";
    let widget = json!({"apiVersion": "compare.kpr.dev/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"a": "1"}, "status": {"b": "2"}});
    server
        .ask("a kind without a status keeps it", post(widgets, &widget))
        .await?;
    server
        .ask("and has no such path", get(format!("{widgets}/w/status")))
        .await?;
    server.ask("nor a scale", get(format!("{widgets}/w/scale"))).await?;
    server
        .ask(
            "its status is changed",
            patch("merge", format!("{widgets}/w"), &json!({"status": {"b": "3"}})),
        )
        .await?;

    let status = json!({"status": {"phase": "Running", "podIP": "10.244.9.9", "podIPs": [{"ip": "10.244.9.9"}], "conditions": [{"type": "Ready", "status": "True"}]}});
    server
        .ask(
            "a pod's status",
            patch("strategic", format!("{PODS}/patched/status"), &status),
        )
        .await?;
    let status = json!({"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Trial"}]}});
    server
        .ask(
            "a pod's condition, by its type",
            patch("strategic", format!("{PODS}/patched/status"), &status),
        )
        .await?;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "patched"}, "target": {"kind": "Node", "name": "node-that-is-not-there"}});
    server
        .ask("a pod is bound", post(format!("{PODS}/patched/binding"), &binding))
        .await?;
    server
        .ask(
            "a pod is bound again",
            post(format!("{PODS}/patched/binding"), &binding),
        )
        .await?;
    Ok(())
}
