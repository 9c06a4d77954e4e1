//! Custom objects: defaulted, pruned, validated, patched, listed and shown.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    request::{delete, get, patch, post, put},
    server::Server,
};

/// Where gadgets are.
pub(super) const GADGETS: &str = "/apis/compare.kpr.dev/v1/namespaces/compared/gadgets";

pub(super) fn gadget(name: &str, spec: &Value) -> Value {
    json!({"apiVersion": "compare.kpr.dev/v1", "kind": "Gadget", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec})
}

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    server
        .ask(
            "the smallest is defaulted",
            post(GADGETS, &gadget("small", &json!({"size": 1}))),
        )
        .await?;
    let full = json!({
        "size": 5, "low": 2, "high": 3, "mode": "Partial", "colour": "red", "fixed": "x", "cidrs": ["10.0.0.0/8", "fd00::/8"],
        "names": ["a", "b"], "ports": [{"name": "http"}, {"name": "https", "port": 443}], "either": "10%", "nothing": null,
        "free": {"any": {"thing": [1]}}, "map": {"a": 1}, "ratio": 0.5, "deep": {"a": false},
    });
    server.ask("a full one", post(GADGETS, &gadget("full", &full))).await?;
    unknown(server).await?;
    refused(server).await?;
    changed(server).await?;
    applied(server).await?;
    shown(server).await
}

async fn unknown(server: &mut Server<'_>) -> Result<()> {
    let mut object = gadget("unknown", &json!({"size": 1, "shade": "dark", "deep": {"b": 1}}));
    object["colour"] = "red".into();
    object["status"] = json!({"ready": true});
    for validation in ["Strict", "Warn", "Ignore"] {
        let path = format!("{GADGETS}?dryRun=All&fieldValidation={validation}");
        server
            .ask(&format!("unknown fields, {validation}"), post(path, &object))
            .await?;
    }
    Ok(())
}

async fn refused(server: &mut Server<'_>) -> Result<()> {
    for (what, spec) in [
        ("no size", json!({})),
        ("a size too small", json!({"size": 0})),
        ("a size too large", json!({"size": 101})),
        ("a size that is a text", json!({"size": "1"})),
        ("a size that is a fraction", json!({"size": 1.5})),
        ("a size that is null", json!({"size": null})),
        ("a mode that is none", json!({"size": 1, "mode": "Maybe"})),
        ("a colour of a wrong pattern", json!({"size": 1, "colour": "RED"})),
        ("a colour too short", json!({"size": 1, "colour": "r"})),
        ("a colour too long", json!({"size": 1, "colour": "ultramarine"})),
        ("low above high", json!({"size": 1, "low": 11})),
        (
            "a CIDR that is none",
            json!({"size": 1, "cidrs": ["10.0.0.0/8", "here"]}),
        ),
        (
            "too many CIDRs",
            json!({"size": 1, "cidrs": ["10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/8", "10.0.0.0/8"]}),
        ),
        ("a name twice", json!({"size": 1, "names": ["a", "a"]})),
        ("no names", json!({"size": 1, "names": []})),
        ("too many names", json!({"size": 1, "names": ["a", "b", "c", "d", "e"]})),
        (
            "a port twice",
            json!({"size": 1, "ports": [{"name": "a"}, {"name": "a"}]}),
        ),
        ("a port without a name", json!({"size": 1, "ports": [{"port": 1}]})),
        ("neither a number nor a text", json!({"size": 1, "either": true})),
        ("too many in a map", json!({"size": 1, "map": {"a": 1, "b": 2, "c": 3}})),
        ("a text in a map", json!({"size": 1, "map": {"a": "1"}})),
        ("a time that is none", json!({"size": 1, "when": "yesterday"})),
        ("a ratio of nothing", json!({"size": 1, "ratio": 0})),
        ("a list for an object", json!({"size": 1, "deep": []})),
        (
            "several at once",
            json!({"size": 0, "mode": "Maybe", "colour": "r", "low": 11}),
        ),
        ("a spec that is a text", json!("spec")),
    ] {
        server
            .ask(
                &format!("refused: {what}"),
                post(format!("{GADGETS}?dryRun=All"), &gadget("refused", &spec)),
            )
            .await?;
    }
    let mut object = gadget("refused", &json!({"size": 1}));
    object["metadata"]["name"] = "No_Name".into();
    server
        .ask("refused: a name that is none", post(GADGETS, &object))
        .await?;
    let mut object = gadget("refused", &json!({"size": 1}));
    object["kind"] = "Widget".into();
    server.ask("refused: another kind", post(GADGETS, &object)).await?;
    let mut object = gadget("refused", &json!({"size": 1}));
    object["apiVersion"] = "compare.kpr.dev/v2".into();
    server.ask("refused: another version", post(GADGETS, &object)).await?;
    server
        .ask("refused: no JSON", post(GADGETS, &Value::Null).body("{"))
        .await?;
    Ok(())
}

async fn changed(server: &mut Server<'_>) -> Result<()> {
    let at = format!("{GADGETS}/full");
    for (what, kind, body) in [
        ("its size", "merge", json!({"spec": {"size": 6}})),
        ("nothing", "merge", json!({"spec": {"size": 6}})),
        ("its labels", "merge", json!({"metadata": {"labels": {"a": "b"}}})),
        ("what is fixed", "merge", json!({"spec": {"fixed": "y"}})),
        ("a colour is taken away", "merge", json!({"spec": {"colour": null}})),
        ("a default is taken away", "merge", json!({"spec": {"mode": null}})),
        ("an unknown field", "merge", json!({"spec": {"shade": "dark"}})),
        ("its status, the wrong way", "merge", json!({"status": {"ready": true}})),
        (
            "a port, by its place",
            "json",
            json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 81}]),
        ),
        ("strategically", "strategic", json!({"spec": {"size": 7}})),
        ("its generation", "merge", json!({"metadata": {"generation": 99}})),
    ] {
        server.ask(&format!("changed: {what}"), patch(kind, &at, &body)).await?;
    }
    let current = server.silently(get(&at)).await?.body();
    let mut stale = current.clone();
    stale["metadata"]["resourceVersion"] = "1".into();
    server
        .ask("replaced from a version that has passed", put(&at, &stale))
        .await?;
    let mut blind = current.clone();
    if let Some(metadata) = blind["metadata"].as_object_mut() {
        metadata.remove("resourceVersion");
    }
    server.ask("replaced without a version", put(&at, &blind)).await?;
    server.ask("replaced by itself", put(&at, &current)).await?;
    server
        .ask(
            "replaced where there is none",
            put(format!("{GADGETS}/none"), &gadget("none", &json!({"size": 1}))),
        )
        .await?;
    Ok(())
}

async fn applied(server: &mut Server<'_>) -> Result<()> {
    let at = |manager: &str| format!("{GADGETS}/applied?fieldManager={manager}");
    for (what, manager, spec) in [
        (
            "the first makes it",
            "first",
            json!({"size": 1, "ports": [{"name": "http"}], "names": ["a"]}),
        ),
        (
            "the second adds a port and a name",
            "second",
            json!({"size": 1, "ports": [{"name": "https"}], "names": ["b"]}),
        ),
        ("the second wants another size", "second", json!({"size": 2})),
        (
            "the first lets its port go",
            "first",
            json!({"size": 1, "names": ["a"]}),
        ),
        ("a wrong one", "first", json!({"size": 0})),
        ("an unknown field", "first", json!({"size": 1, "shade": "dark"})),
    ] {
        server
            .ask(
                &format!("applied: {what}"),
                patch("apply", at(manager), &gadget("applied", &spec)),
            )
            .await?;
    }
    Ok(())
}

async fn shown(server: &mut Server<'_>) -> Result<()> {
    server
        .ask("a table of one", get(format!("{GADGETS}/full")).tabular())
        .await?;
    server.ask("a table of all", get(GADGETS).tabular()).await?;
    server
        .ask(
            "a table of those of all namespaces",
            get("/apis/compare.kpr.dev/v1/gadgets").tabular(),
        )
        .await?;
    server.ask("a list", get(GADGETS)).await?;
    server
        .ask(
            "by a selectable field",
            get(format!("{GADGETS}?fieldSelector=spec.mode%3DPartial")),
        )
        .await?;
    server
        .ask(
            "by a field that is not selectable",
            get(format!("{GADGETS}?fieldSelector=spec.size%3D1")),
        )
        .await?;
    server
        .ask(
            "of another namespace",
            get("/apis/compare.kpr.dev/v1/namespaces/default/gadgets"),
        )
        .await?;
    server
        .ask(
            "in a version that is none",
            get("/apis/compare.kpr.dev/v9/namespaces/compared/gadgets"),
        )
        .await?;
    let version = server.silently(get(GADGETS)).await?.version()?;
    server
        .silently(patch(
            "merge",
            format!("{GADGETS}/small"),
            &json!({"spec": {"mode": "Partial"}}),
        ))
        .await?;
    server.silently(delete(format!("{GADGETS}/small"))).await?;
    server
        .watch(
            "watched",
            get(format!(
                "{GADGETS}?watch=true&timeoutSeconds=1&resourceVersion={version}"
            )),
        )
        .await?;
    server
        .watch(
            "watched by a field",
            get(format!(
                "{GADGETS}?watch=true&timeoutSeconds=1&fieldSelector=spec.mode%3DPartial&resourceVersion={version}"
            )),
        )
        .await?;
    server
        .watch(
            "watched as a table",
            get(format!(
                "{GADGETS}?watch=true&timeoutSeconds=1&resourceVersion={version}"
            ))
            .tabular(),
        )
        .await?;
    Ok(())
}
