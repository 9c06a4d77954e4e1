//! Watches. Each is over after a second or two, because it says so.

use anyhow::Result;
use serde_json::json;

use super::{CONFIG_MAPS, config_map};
use crate::{
    request::{delete, get, patch, post, put},
    server::Server,
};

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    let label = |name: &str| {
        let mut object = config_map(name, "1");
        object["metadata"]["labels"] = json!({"part": "watches"});
        object
    };
    let watch = |query: &str| {
        get(format!(
            "{CONFIG_MAPS}?watch=true&labelSelector=part%3Dwatches&timeoutSeconds=1&{query}"
        ))
    };
    let before = server.silently(post(CONFIG_MAPS, &label("watch-a"))).await?.version()?;
    server.silently(post(CONFIG_MAPS, &label("watch-b"))).await?;
    let mut changed = label("watch-a");
    changed["data"]["v"] = "2".into();
    server.silently(put(format!("{CONFIG_MAPS}/watch-a"), &changed)).await?;
    server
        .silently(patch(
            "merge",
            format!("{CONFIG_MAPS}/watch-b"),
            &json!({"metadata": {"labels": {"part": null}}}),
        ))
        .await?;
    server
        .silently(patch(
            "merge",
            format!("{CONFIG_MAPS}/watch-b"),
            &json!({"metadata": {"labels": {"part": "watches"}}}),
        ))
        .await?;
    server.silently(delete(format!("{CONFIG_MAPS}/watch-a"))).await?;

    server
        .watch("all since a version", watch(&format!("resourceVersion={before}")))
        .await?;
    server
        .watch(
            "one by its name",
            watch(&format!(
                "resourceVersion={before}&fieldSelector=metadata.name%3Dwatch-b"
            )),
        )
        .await?;
    server
        .watch("as a table", watch(&format!("resourceVersion={before}")).tabular())
        .await?;
    server
        .watch(
            "metadata only",
            watch(&format!("resourceVersion={before}"))
                .accept("application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"),
        )
        .await?;
    server
        .watch("from now on, with what there is", watch("resourceVersion=0"))
        .await?;
    server.watch("without a version", watch("")).await?;
    server
        .watch(
            "a list in a stream",
            watch("allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"),
        )
        .await?;
    server
        .watch(
            "a list in a stream, without what it asks for",
            watch("sendInitialEvents=true"),
        )
        .await?;
    server
        .watch("a version that is none", watch("resourceVersion=x"))
        .await?;
    server
        .watch(
            "a single object",
            get(format!(
                "{CONFIG_MAPS}/watch-b?watch=true&timeoutSeconds=1&resourceVersion={before}"
            )),
        )
        .await?;
    server.watch("on the old path", get(format!("/api/v1/watch/namespaces/compared/configmaps?labelSelector=part%3Dwatches&timeoutSeconds=1&resourceVersion={before}"))).await?;
    server
        .watch("a version that is to come", watch("resourceVersion=999999999"))
        .await?;
    Ok(())
}
