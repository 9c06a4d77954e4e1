//! Requests that are no good.

use anyhow::Result;
use http::Method;
use serde_json::{Value, json};

use super::{CONFIG_MAPS, config_map, pod};
use crate::{
    request::{get, patch, post, put},
    server::Server,
};

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    paths(server).await?;
    bodies(server).await?;
    fields(server).await?;
    metadata(server).await
}

async fn paths(server: &mut Server<'_>) -> Result<()> {
    for path in [
        "/nothing",
        "/api/v1/nothings",
        "/api/v1/namespaces/compared/nothings/x",
        "/api/v1/namespaces/compared/nodes",
        "/apis/nothing.dev/v1/things",
        "/apis/apps/v9/deployments",
        "/apis/apps/v1/namespaces/compared/deployments/none",
        "/api/v1/nodes/none",
        "/api/v1/namespaces/none",
        "/api/v1/namespaces/none/configmaps",
        "/api/v1/namespaces/compared/configmaps/none/status",
    ] {
        server.ask(&format!("GET {path}"), get(path)).await?;
    }
    server
        .ask(
            "an object for a namespace that is not there",
            post("/api/v1/namespaces/none/configmaps", &config_map("x", "1")),
        )
        .await?;
    server
        .ask(
            "POST to an object",
            post(format!("{CONFIG_MAPS}/one"), &config_map("one", "1")),
        )
        .await?;
    server
        .ask("PUT to a collection", put(CONFIG_MAPS, &config_map("one", "1")))
        .await?;
    server
        .ask("PATCH to a collection", patch("merge", CONFIG_MAPS, &json!({})))
        .await?;
    let mut unknown = get(CONFIG_MAPS);
    unknown.method = Method::from_bytes(b"PROPFIND")?;
    server.ask("a method that nobody knows", unknown).await?;
    server
        .ask("a form that is not served", get(CONFIG_MAPS).accept("text/html"))
        .await?;
    Ok(())
}

async fn bodies(server: &mut Server<'_>) -> Result<()> {
    let sent = |body: &str| post(CONFIG_MAPS, &Value::Null).body(body);
    server.ask("an empty body", sent("")).await?;
    server.ask("a body that is no JSON", sent("{\"apiVersion\": ")).await?;
    server.ask("a body that is a list", sent("[]")).await?;
    server
        .ask("a body without a kind", sent("{\"metadata\": {\"name\": \"x\"}}"))
        .await?;
    server
        .ask("a body in a language that is not spoken", sent("x").content("text/csv"))
        .await?;
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\n";
    server
        .ask("a body in YAML", sent(yaml).content("application/yaml"))
        .await?;
    server.ask("another kind", post(CONFIG_MAPS, &pod("x"))).await?;
    let mut other = config_map("x", "1");
    other["apiVersion"] = "v2".into();
    server.ask("another version", post(CONFIG_MAPS, &other)).await?;
    let mut other = config_map("x", "1");
    other["metadata"]["namespace"] = "default".into();
    server.ask("another namespace", post(CONFIG_MAPS, &other)).await?;
    server
        .ask(
            "another name",
            put(format!("{CONFIG_MAPS}/fixed"), &config_map("x", "1")),
        )
        .await?;
    server
        .ask(
            "options that are none",
            post(format!("{CONFIG_MAPS}?dryRun=Some"), &config_map("x", "1")),
        )
        .await?;
    server
        .ask(
            "a validation that is none",
            post(format!("{CONFIG_MAPS}?fieldValidation=Some"), &config_map("x", "1")),
        )
        .await?;
    Ok(())
}

async fn fields(server: &mut Server<'_>) -> Result<()> {
    let mut unknown = config_map("unknown", "1");
    unknown["colour"] = "red".into();
    unknown["metadata"]["shade"] = "dark".into();
    for validation in ["Strict", "Warn", "Ignore"] {
        let path = format!("{CONFIG_MAPS}?dryRun=All&fieldValidation={validation}");
        server
            .ask(&format!("unknown fields, {validation}"), post(path, &unknown))
            .await?;
    }
    let path = format!("{CONFIG_MAPS}?dryRun=All&fieldValidation=Strict");
    let twice = "{\"apiVersion\":\"v1\",\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"odd\"},\"data\":{\"v\":\"1\",\"v\":\"2\"}}";
    server
        .ask("a field that is given twice", post(path, &Value::Null).body(twice))
        .await?;
    let mut typed = config_map("odd", "1");
    typed["data"]["v"] = 1.into();
    server.ask("a number for a text", post(CONFIG_MAPS, &typed)).await?;
    let mut typed = config_map("odd", "1");
    typed["immutable"] = "yes".into();
    server.ask("a text for a truth", post(CONFIG_MAPS, &typed)).await?;
    let mut key = config_map("odd", "1");
    key["data"] = json!({"a/b": "1"});
    server.ask("a key that is none", post(CONFIG_MAPS, &key)).await?;
    Ok(())
}

async fn metadata(server: &mut Server<'_>) -> Result<()> {
    let long = "x".repeat(64);
    for (what, metadata) in [
        ("no name", json!({})),
        ("a name that is none", json!({"name": "No_Name"})),
        (
            "a label key that is none",
            json!({"name": "odd", "labels": {"a b": "c"}}),
        ),
        (
            "a label value that is none",
            json!({"name": "odd", "labels": {"a": "b c"}}),
        ),
        (
            "a label value that is too long",
            json!({"name": "odd", "labels": {"a": long}}),
        ),
        (
            "an annotation key that is none",
            json!({"name": "odd", "annotations": {"a/b/c": "d"}}),
        ),
        (
            "a finalizer that is none",
            json!({"name": "odd", "finalizers": ["no finalizer"]}),
        ),
        (
            "a finalizer without a domain",
            json!({"name": "odd", "finalizers": ["plain"]}),
        ),
        ("a version at birth", json!({"name": "odd", "resourceVersion": "5"})),
        (
            "an owner without a UID",
            json!({"name": "odd", "ownerReferences": [{"apiVersion": "v1", "kind": "ConfigMap", "name": "y", "uid": ""}]}),
        ),
        (
            "a generation of its own",
            json!({"name": "generation", "generation": 7, "creationTimestamp": null}),
        ),
    ] {
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata});
        server
            .ask(what, post(format!("{CONFIG_MAPS}?dryRun=All"), &object))
            .await?;
    }
    Ok(())
}
