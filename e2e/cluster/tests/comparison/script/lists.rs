//! Lists: selectors, pages, versions.

use anyhow::Result;
use serde_json::json;

use super::{CONFIG_MAPS, config_map};
use crate::{
    request::{delete, get, post},
    server::Server,
};

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    for (name, colour) in [
        ("a", "red"),
        ("b", "green"),
        ("c", "blue"),
        ("d", "red"),
        ("e", "green"),
    ] {
        let mut object = config_map(&format!("list-{name}"), name);
        object["metadata"]["labels"] = json!({"part": "lists", "colour": colour});
        server.silently(post(CONFIG_MAPS, &object)).await?;
    }
    let list = |query: &str| get(format!("{CONFIG_MAPS}?{query}"));
    for query in [
        "labelSelector=part%3Dlists",
        "labelSelector=part%3Dlists,colour%3D%3Dred",
        "labelSelector=part%3Dlists,colour!%3Dred",
        "labelSelector=part%3Dlists,colour+in+(red,blue)",
        "labelSelector=part%3Dlists,colour+notin+(red,blue)",
        "labelSelector=part%3Dlists,colour",
        "labelSelector=part%3Dlists,!colour",
        "labelSelector=part%3Dlists&fieldSelector=metadata.name%3Dlist-b",
        "labelSelector=part%3Dlists&fieldSelector=metadata.name!%3Dlist-b",
        "labelSelector=part%3Dlists&resourceVersion=0",
        "labelSelector=part%3Dnothing",
        "labelSelector=a+b",
        "labelSelector=a%3Db%3Dc",
        "labelSelector=a+in+b",
        "labelSelector=a%3Db+c",
        "fieldSelector=data.v%3D1",
        "fieldSelector=metadata.name",
        "limit=x",
        "limit=-1&labelSelector=part%3Dnothing",
        "continue=nonsense",
        "resourceVersion=nonsense",
        "resourceVersion=999999999",
        "resourceVersionMatch=Exact",
        "resourceVersionMatch=Some&resourceVersion=1",
        "resourceVersionMatch=NotOlderThan&resourceVersion=0&labelSelector=part%3Dlists",
        "resourceVersionMatch=Exact&resourceVersion=0",
    ] {
        server.ask(query, list(query)).await?;
    }
    pages(server).await?;
    let collection = format!("{CONFIG_MAPS}?labelSelector=part%3Dlists,colour%3Dred");
    server.ask("the red ones are deleted", delete(collection)).await?;
    server
        .ask("the others are left", list("labelSelector=part%3Dlists"))
        .await?;
    Ok(())
}

async fn pages(server: &mut Server<'_>) -> Result<()> {
    let base = format!("{CONFIG_MAPS}?labelSelector=part%3Dlists&limit=2");
    let mut token = String::new();
    for page in ["first", "second", "third"] {
        let path = if token.is_empty() {
            base.clone()
        } else {
            format!("{base}&continue={token}")
        };
        let answer = server.ask(&format!("the {page} page"), get(path)).await?;
        if page == "first" {
            // What is made while somebody reads is not on the pages to come.
            server
                .silently(post(
                    CONFIG_MAPS,
                    &json!({
                        "apiVersion": "v1", "kind": "ConfigMap",
                        "metadata": {"name": "list-bb", "labels": {"part": "lists", "colour": "none"}},
                    }),
                ))
                .await?;
        }
        token = answer.metadata("continue").unwrap_or_default();
    }
    let unlabelled = format!("{CONFIG_MAPS}?limit=1");
    let answer = server.silently(get(&unlabelled)).await?;
    let token = answer.metadata("continue")?;
    let version = answer.version()?;
    server
        .ask(
            "a page with a version",
            get(format!("{unlabelled}&continue={token}&resourceVersion={version}")),
        )
        .await?;
    let exact =
        format!("{CONFIG_MAPS}?labelSelector=part%3Dlists&resourceVersionMatch=Exact&resourceVersion={version}");
    server.silently(delete(format!("{CONFIG_MAPS}/list-bb"))).await?;
    server.ask("a version that has passed, exactly", get(exact)).await?;
    Ok(())
}
