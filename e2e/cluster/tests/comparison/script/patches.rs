//! Patches of all four kinds, and whose fields are whose.

use anyhow::Result;
use serde_json::{Value, json};

use super::{CONFIG_MAPS, PODS, SERVICES, config_map, pod};
use crate::{
    request::{get, patch, post},
    server::Server,
};

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    merge(server).await?;
    json_patch(server).await?;
    strategic(server).await?;
    apply(server).await
}

async fn merge(server: &mut Server<'_>) -> Result<()> {
    let at = format!("{CONFIG_MAPS}/merged");
    server.silently(post(CONFIG_MAPS, &config_map("merged", "1"))).await?;
    for (what, body) in [
        (
            "a value is changed and one added",
            json!({"data": {"v": "2", "w": "3"}}),
        ),
        ("a value is removed", json!({"data": {"w": null}})),
        ("nothing is changed", json!({"data": {"v": "2"}})),
        ("an unknown field", json!({"colour": "red"})),
        ("another name", json!({"metadata": {"name": "other"}})),
        ("a wrong type", json!({"data": {"v": 1}})),
        (
            "a version that has passed",
            json!({"metadata": {"resourceVersion": "1"}, "data": {"v": "9"}}),
        ),
        ("a patch that is a list", json!([])),
        ("no patch", Value::Null),
    ] {
        server
            .ask(&format!("merge: {what}"), patch("merge", &at, &body))
            .await?;
    }
    server
        .ask("merge: no JSON", patch("merge", &at, &Value::Null).body("{"))
        .await?;
    server
        .ask(
            "merge: a kind of patch that is none",
            patch("merge", &at, &json!({})).content("application/json"),
        )
        .await?;
    server
        .ask(
            "merge: of nothing",
            patch("merge", format!("{CONFIG_MAPS}/none"), &json!({})),
        )
        .await?;
    server
        .ask(
            "merge: a trial",
            patch("merge", format!("{at}?dryRun=All"), &json!({"data": {"v": "7"}})),
        )
        .await?;
    server.ask("merge: and what is left", get(&at)).await?;
    Ok(())
}

async fn json_patch(server: &mut Server<'_>) -> Result<()> {
    let at = format!("{CONFIG_MAPS}/merged");
    for (what, body) in [
        (
            "a value is replaced",
            json!([{"op": "replace", "path": "/data/v", "value": "5"}]),
        ),
        (
            "a value is added and tested",
            json!([{"op": "add", "path": "/data/x", "value": "1"}, {"op": "test", "path": "/data/x", "value": "1"}]),
        ),
        (
            "a value is moved",
            json!([{"op": "move", "from": "/data/x", "path": "/data/y"}]),
        ),
        ("a value is removed", json!([{"op": "remove", "path": "/data/y"}])),
        ("a test fails", json!([{"op": "test", "path": "/data/v", "value": "9"}])),
        (
            "a value that is not there is removed",
            json!([{"op": "remove", "path": "/data/none"}]),
        ),
        (
            "a value that is not there is replaced",
            json!([{"op": "replace", "path": "/none/at/all", "value": 1}]),
        ),
        ("an operation that is none", json!([{"op": "paint", "path": "/data/v"}])),
        ("a patch that is an object", json!({"data": {}})),
    ] {
        server.ask(&format!("JSON: {what}"), patch("json", &at, &body)).await?;
    }
    Ok(())
}

async fn strategic(server: &mut Server<'_>) -> Result<()> {
    server.silently(post(PODS, &pod("patched"))).await?;
    let at = format!("{PODS}/patched");
    for (what, body) in [
        (
            "an image, by the container's name",
            json!({"spec": {"containers": [{"name": "web", "image": "web:2"}]}}),
        ),
        (
            "tolerations are added to",
            json!({"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}}),
        ),
        (
            "a container without a name",
            json!({"spec": {"containers": [{"image": "web:3"}]}}),
        ),
        ("a field that must stay", json!({"spec": {"restartPolicy": "Never"}})),
        (
            "labels are replaced",
            json!({"metadata": {"labels": {"$patch": "replace", "b": "c"}}}),
        ),
    ] {
        server
            .ask(&format!("strategic: {what}"), patch("strategic", &at, &body))
            .await?;
    }
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": "patched"},
        "spec": {"clusterIP": "10.96.40.1", "ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]},
    });
    server.silently(post(SERVICES, &service)).await?;
    let at = format!("{SERVICES}/patched");
    for (what, body) in [
        (
            "a port, by its number",
            json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}]}}),
        ),
        (
            "a port is deleted",
            json!({"spec": {"ports": [{"$patch": "delete", "port": 81}]}}),
        ),
        (
            "the order of ports",
            json!({"spec": {"$setElementOrder/ports": [{"port": 82}, {"port": 80}], "ports": [{"name": "c", "port": 82}]}}),
        ),
    ] {
        server
            .ask(&format!("strategic: {what}"), patch("strategic", &at, &body))
            .await?;
    }
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "a script: one request after the other")]
async fn apply(server: &mut Server<'_>) -> Result<()> {
    let at = |query: &str| format!("{CONFIG_MAPS}/applied?{query}");
    let with = |data: Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied", "labels": {"by": "x"}}, "data": data});
    for (what, query, body) in [
        ("without a manager", "", with(json!({"a": "1"}))),
        (
            "the first makes it",
            "fieldManager=first",
            with(json!({"a": "1", "b": "2"})),
        ),
        (
            "the first changes nothing",
            "fieldManager=first",
            with(json!({"a": "1", "b": "2"})),
        ),
        (
            "the second adds a value",
            "fieldManager=second",
            with(json!({"c": "3"})),
        ),
        (
            "the second takes a value",
            "fieldManager=second",
            with(json!({"c": "3", "a": "9"})),
        ),
        (
            "the second takes it by force",
            "fieldManager=second&force=true",
            with(json!({"c": "3", "a": "9"})),
        ),
        (
            "the second agrees on another",
            "fieldManager=second",
            with(json!({"c": "3", "a": "9", "b": "2"})),
        ),
        (
            "the first lets go of all but one",
            "fieldManager=first",
            with(json!({"b": "2"})),
        ),
        (
            "the second lets go of that one",
            "fieldManager=second",
            with(json!({"c": "3"})),
        ),
        (
            "an unknown field",
            "fieldManager=first",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "colour": "red"}),
        ),
        (
            "another name",
            "fieldManager=first",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other"}}),
        ),
        (
            "another kind",
            "fieldManager=first",
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "applied"}}),
        ),
        (
            "no kind",
            "fieldManager=first",
            json!({"metadata": {"name": "applied"}}),
        ),
        (
            "with managed fields",
            "fieldManager=first",
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied", "managedFields": [{"manager": "x"}]}}),
        ),
        (
            "a manager with a name too long",
            &format!("fieldManager={}", "x".repeat(129)),
            with(json!({"a": "1"})),
        ),
    ] {
        server
            .ask(&format!("apply: {what}"), patch("apply", at(query), &body))
            .await?;
    }
    server
        .ask(
            "apply: then a merge",
            patch("merge", at("fieldManager=third"), &json!({"data": {"b": "5"}})),
        )
        .await?;
    server
        .ask(
            "apply: the first is contradicted",
            patch("apply", at("fieldManager=first"), &with(json!({"b": "2"}))),
        )
        .await?;
    server.ask("apply: and what is left", get(at(""))).await?;

    let web = |ports: Value| json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "applied"}, "spec": {"clusterIP": "10.96.40.2", "ports": ports}});
    let at = |query: &str| format!("{SERVICES}/applied?{query}");
    let one = json!([{"port": 80}]);
    let two = json!([{"port": 81, "name": "b"}, {"port": 80, "name": "a"}]);
    server
        .ask("apply: a Service", patch("apply", at("fieldManager=first"), &web(one)))
        .await?;
    server
        .ask(
            "apply: its ports, by number",
            patch("apply", at("fieldManager=first"), &web(two)),
        )
        .await?;
    server
        .ask(
            "apply: a port that is there twice",
            patch(
                "apply",
                at("fieldManager=first"),
                &web(json!([{"port": 80, "name": "a"}, {"port": 80, "name": "b"}])),
            ),
        )
        .await?;
    Ok(())
}
