//! Deletion: finalizers, grace, owners and what they own.

use anyhow::Result;
use serde_json::{Value, json};

use super::{
    CONFIG_MAPS, CRDS, PODS, config_map,
    custom_objects::{GADGETS, gadget},
    pod,
};
use crate::{
    request::{delete, delete_with, get, patch, post},
    server::Server,
};

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    finalizers(server).await?;
    pods(server).await?;
    for propagation in ["Background", "Foreground", "Orphan"] {
        owners(server, propagation).await?;
    }
    namespace(server).await?;
    definition(server).await
}

async fn finalizers(server: &mut Server<'_>) -> Result<()> {
    let mut object = gadget("held", &json!({"size": 1}));
    object["metadata"]["finalizers"] = json!(["kpr.dev/a", "kpr.dev/b"]);
    let created = server.silently(post(GADGETS, &object)).await?;
    let at = format!("{GADGETS}/held");
    server.ask("one with finalizers is deleted", delete(&at)).await?;
    server.ask("and deleted again", delete(&at)).await?;
    server.ask("it is still there", get(&at)).await?;
    server
        .ask(
            "its spec still changes",
            patch("merge", &at, &json!({"spec": {"size": 2}})),
        )
        .await?;
    server
        .ask(
            "a finalizer is added too late",
            patch(
                "merge",
                &at,
                &json!({"metadata": {"finalizers": ["kpr.dev/a", "kpr.dev/b", "kpr.dev/c"]}}),
            ),
        )
        .await?;
    server
        .ask(
            "the first finalizer goes",
            patch("merge", &at, &json!({"metadata": {"finalizers": ["kpr.dev/b"]}})),
        )
        .await?;
    server
        .ask(
            "the last finalizer goes",
            patch("merge", &at, &json!({"metadata": {"finalizers": null}})),
        )
        .await?;
    server.ask("it is gone", get(&at)).await?;
    let since = created.version()?;
    server
        .watch(
            "and so it was seen",
            get(format!(
                "{GADGETS}?watch=true&timeoutSeconds=1&labelSelector=app%3Dheld&resourceVersion={since}"
            )),
        )
        .await
}

async fn pods(server: &mut Server<'_>) -> Result<()> {
    server.silently(post(PODS, &pod("unbound"))).await?;
    server
        .ask("an unbound pod is deleted at once", delete(format!("{PODS}/unbound")))
        .await?;
    server
        .ask(
            "a bound pod has its grace",
            delete_with(format!("{PODS}/patched"), &json!({"gracePeriodSeconds": 3})),
        )
        .await?;
    server
        .ask(
            "which may be shortened",
            delete_with(format!("{PODS}/patched"), &json!({"gracePeriodSeconds": 1})),
        )
        .await?;
    server
        .ask(
            "and not be lengthened",
            delete_with(format!("{PODS}/patched"), &json!({"gracePeriodSeconds": 20})),
        )
        .await?;
    server
        .ask(
            "until there is none",
            delete_with(format!("{PODS}/patched"), &json!({"gracePeriodSeconds": 0})),
        )
        .await?;
    Ok(())
}

async fn owners(server: &mut Server<'_>, propagation: &str) -> Result<()> {
    let name = |part: &str| format!("{}-{part}", propagation.to_lowercase());
    let owner = server
        .silently(post(CONFIG_MAPS, &config_map(&name("owner"), "1")))
        .await?;
    let mut dependent = config_map(&name("owned"), "1");
    dependent["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "ConfigMap", "name": name("owner"), "uid": owner.metadata("uid")?, "blockOwnerDeletion": true,
    }]);
    server.silently(post(CONFIG_MAPS, &dependent)).await?;
    let at = |part: &str| format!("{CONFIG_MAPS}/{}", name(part));
    server
        .ask(
            &format!("{propagation}: the owner is deleted"),
            delete_with(at("owner"), &json!({"propagationPolicy": propagation})),
        )
        .await?;
    server.until(&at("owner"), 404).await?;
    if propagation == "Orphan" {
        let orphaned = |object: &Value| object["metadata"]["ownerReferences"].is_null();
        server.until_it(&at("owned"), "has no owner", orphaned).await?;
    } else {
        server.until(&at("owned"), 404).await?;
    }
    let left = format!(
        "{CONFIG_MAPS}?labelSelector=app+in+({},{})",
        name("owner"),
        name("owned")
    );
    server
        .ask(&format!("{propagation}: and what is left"), get(left))
        .await?;
    if propagation == "Background" {
        dependent["metadata"]["name"] = "late".into();
        server.silently(post(CONFIG_MAPS, &dependent)).await?;
        server.until(&format!("{CONFIG_MAPS}/late"), 404).await?;
        server
            .ask(
                "what is owned by nobody is collected",
                get(format!("{CONFIG_MAPS}/late")),
            )
            .await?;
    }
    Ok(())
}

async fn namespace(server: &mut Server<'_>) -> Result<()> {
    let at = "/api/v1/namespaces/passing";
    server
        .silently(post(
            "/api/v1/namespaces",
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "passing"}}),
        ))
        .await?;
    let mut held = config_map("held", "1");
    held["metadata"]["finalizers"] = json!(["kpr.dev/a"]);
    server.silently(post(format!("{at}/configmaps"), &held)).await?;
    server.silently(delete(at)).await?;
    let terminating = |object: &Value| object["status"]["phase"] == "Terminating";
    server.until_it(at, "is terminating", terminating).await?;
    server
        .ask(
            "nothing is made in a namespace that goes",
            post(format!("{at}/configmaps"), &config_map("late", "1")),
        )
        .await?;
    let going = |object: &Value| !object["metadata"]["deletionTimestamp"].is_null();
    server
        .until_it(&format!("{at}/configmaps/held"), "is going", going)
        .await?;
    server
        .silently(patch(
            "merge",
            format!("{at}/configmaps/held"),
            &json!({"metadata": {"finalizers": null}}),
        ))
        .await?;
    server.until(at, 404).await?;
    server.ask("and it is gone", get(format!("{at}/configmaps"))).await?;
    server
        .ask(
            "the default namespace is not to go",
            delete("/api/v1/namespaces/default"),
        )
        .await?;
    Ok(())
}

async fn definition(server: &mut Server<'_>) -> Result<()> {
    server
        .silently(delete(format!("{CRDS}/widgets.compare.kpr.dev")))
        .await?;
    server.until(&format!("{CRDS}/widgets.compare.kpr.dev"), 404).await?;
    server.until("/apis/compare.kpr.dev/v1/widgets", 404).await?;
    server
        .ask(
            "a kind that is gone",
            get("/apis/compare.kpr.dev/v1/namespaces/compared/widgets/w"),
        )
        .await?;
    Ok(())
}
