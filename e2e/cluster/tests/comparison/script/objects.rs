//! The life of one object.

use anyhow::Result;
use serde_json::json;

use super::{CONFIG_MAPS, config_map};
use crate::{
    request::{delete, delete_with, get, post, put},
    server::Server,
};

pub(super) async fn play(server: &mut Server<'_>) -> Result<()> {
    let at = format!("{CONFIG_MAPS}/one");
    let one = config_map("one", "1");
    server.ask("one is not there yet", get(&at)).await?;
    let dry = format!("{CONFIG_MAPS}?dryRun=All");
    server.ask("one is created for a trial", post(dry, &one)).await?;
    server.ask("and is still not there", get(&at)).await?;
    let created = server.ask("one is created", post(CONFIG_MAPS, &one)).await?;
    server.ask("one is created again", post(CONFIG_MAPS, &one)).await?;
    server.ask("one is read", get(&at)).await?;

    server
        .ask(
            "one is replaced, whatever its version",
            put(&at, &config_map("one", "2")),
        )
        .await?;
    let mut stale = created.body();
    stale["data"]["v"] = "3".into();
    server
        .ask("one is replaced from a version that has passed", put(&at, &stale))
        .await?;
    let mut fresh = server.silently(get(&at)).await?.body();
    fresh["data"]["v"] = "4".into();
    server.ask("one is replaced from its version", put(&at, &fresh)).await?;
    let current = server.silently(get(&at)).await?.body();
    server.ask("one is replaced by itself", put(&at, &current)).await?;
    let mut other = current.clone();
    other["metadata"]["uid"] = "0b1f7f2c-8a54-4a37-9a0c-3c0b4c1f6f10".into();
    server
        .ask("one is replaced under another UID", put(&at, &other))
        .await?;
    server
        .ask(
            "another is replaced that is not there",
            put(format!("{CONFIG_MAPS}/none"), &config_map("none", "1")),
        )
        .await?;

    let mut fixed = config_map("fixed", "1");
    fixed["immutable"] = true.into();
    server
        .ask("an immutable one is created", post(CONFIG_MAPS, &fixed))
        .await?;
    fixed["data"]["v"] = "2".into();
    server
        .ask(
            "an immutable one is replaced",
            put(format!("{CONFIG_MAPS}/fixed"), &fixed),
        )
        .await?;

    let mut nameless = config_map("", "1");
    nameless["metadata"] = json!({"generateName": "made-", "annotations": {"a": "b"}});
    server
        .ask("one with a generated name is created", post(CONFIG_MAPS, &nameless))
        .await?;
    let managed = format!("{CONFIG_MAPS}?fieldManager=somebody");
    server
        .ask(
            "one is created by a named manager",
            post(managed, &config_map("managed", "1")),
        )
        .await?;

    let precondition = json!({"preconditions": {"uid": "0b1f7f2c-8a54-4a37-9a0c-3c0b4c1f6f10"}});
    server
        .ask("one is deleted under another UID", delete_with(&at, &precondition))
        .await?;
    let precondition = json!({"preconditions": {"resourceVersion": "1"}});
    server
        .ask("one is deleted in another version", delete_with(&at, &precondition))
        .await?;
    server
        .ask("one is deleted for a trial", delete(format!("{at}?dryRun=All")))
        .await?;
    server.ask("one is deleted", delete(&at)).await?;
    server.ask("one is deleted again", delete(&at)).await?;
    Ok(())
}
