//! The server as kube-rs sees it: CRUD, watches, finalizers, server-side apply.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use common::{config_map, within};
use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Service};
use kpr_apiserver::{ApiServer, Fault};
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use kube::runtime::{WatchStreamExt, finalizer, reflector, watcher};
use kube::{Resource, ResourceExt};
use serde_json::json;

#[tokio::test]
async fn an_object_is_created_read_changed_and_deleted() -> Result<()> {
    let server = ApiServer::new();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());

    let created = api.create(&PostParams::default(), &config_map("a", "1")).await?;
    assert!(created.uid().is_some() && created.creation_timestamp().is_some());

    let mut changed = created.clone();
    changed.data = Some(BTreeMap::from([("v".into(), "2".into())]));
    let replaced = api.replace("a", &PostParams::default(), &changed).await?;
    assert_ne!(replaced.resource_version(), created.resource_version());

    let stale = api.replace("a", &PostParams::default(), &changed).await.unwrap_err();
    let kube::Error::Api(status) = stale else {
        panic!("{stale}")
    };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert!(
        status
            .message
            .contains("please apply your changes to the latest version"),
        "{}",
        status.message
    );

    api.delete("a", &DeleteParams::default()).await?;
    assert!(api.get_opt("a").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_write_that_changes_nothing_is_no_write() -> Result<()> {
    let server = ApiServer::new();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let created = api.create(&PostParams::default(), &config_map("a", "1")).await?;
    let before = server.revision();

    api.replace("a", &PostParams::default(), &created).await?;
    let same = json!({"data": {"v": "1"}});
    api.patch("a", &PatchParams::default(), &Patch::Merge(&same)).await?;
    let apply = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"v": "1"}});
    api.patch("a", &PatchParams::apply("me"), &Patch::Apply(&apply)).await?;
    let applied = server.revision();
    assert_eq!(applied, before + 1, "the first apply records a new manager");
    api.patch("a", &PatchParams::apply("me"), &Patch::Apply(&apply)).await?;
    assert_eq!(server.revision(), applied);
    Ok(())
}

#[tokio::test]
async fn lists_are_paged_over_one_state() -> Result<()> {
    let server = ApiServer::new();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &config_map(name, "1")).await?;
    }
    let first = api.list(&ListParams::default().limit(2)).await?;
    assert_eq!(first.metadata.remaining_item_count, Some(1));
    let token = first.metadata.continue_.context("a continue token")?;

    api.create(&PostParams::default(), &config_map("d", "1")).await?;
    let rest = api.list(&ListParams::default().limit(2).continue_token(&token)).await?;
    assert_eq!(rest.iter().map(ResourceExt::name_any).collect::<Vec<_>>(), ["c"]);

    server.compact();
    api.create(&PostParams::default(), &config_map("e", "1")).await?;
    let gone = api
        .list(&ListParams::default().continue_token(&token))
        .await
        .unwrap_err();
    assert!(matches!(gone, kube::Error::Api(status) if status.code == 410 && status.reason == "Expired"));
    Ok(())
}

#[tokio::test]
async fn a_watch_shows_what_enters_and_leaves_its_selector() -> Result<()> {
    let server = ApiServer::new();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let params = WatchParams::default().labels("tier=front");
    let mut events = api.watch(&params, &server.revision().to_string()).await?.boxed();

    api.create(&PostParams::default(), &config_map("a", "1")).await?;
    let label = |tier: &str| json!({"metadata": {"labels": {"tier": tier}}});
    api.patch("a", &PatchParams::default(), &Patch::Merge(label("front")))
        .await?;
    api.patch("a", &PatchParams::default(), &Patch::Merge(json!({"data": {"v": "2"}})))
        .await?;
    api.patch("a", &PatchParams::default(), &Patch::Merge(label("back")))
        .await?;
    api.delete("a", &DeleteParams::default()).await?;

    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.push(match within(events.try_next()).await?.context("an event")? {
            WatchEvent::Added(_) => "added",
            WatchEvent::Modified(_) => "modified",
            WatchEvent::Deleted(_) => "deleted",
            WatchEvent::Bookmark(_) => "bookmark",
            WatchEvent::Error(error) => panic!("{error}"),
        });
    }
    assert_eq!(seen, ["added", "modified", "deleted"]);
    Ok(())
}

#[tokio::test]
async fn a_watch_ends_at_its_timeout_with_a_bookmark() -> Result<()> {
    let server = ApiServer::new();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let params = WatchParams::default().timeout(1);
    let events: Vec<_> = within(
        api.watch(&params, &server.revision().to_string())
            .await?
            .try_collect::<Vec<_>>(),
    )
    .await?;
    assert!(matches!(events.as_slice(), [WatchEvent::Bookmark(_)]), "{events:?}");
    Ok(())
}

#[tokio::test]
async fn a_watch_from_a_forgotten_revision_is_told_410() -> Result<()> {
    let server = ApiServer::new();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let old = server.revision().to_string();
    api.create(&PostParams::default(), &config_map("a", "1")).await?;
    server.compact();
    let mut events = api.watch(&WatchParams::default(), &old).await?.boxed();
    let event = within(events.try_next()).await?.context("an event")?;
    let WatchEvent::Error(error) = event else {
        panic!("{event:?}")
    };
    assert_eq!((error.code, error.reason.as_str()), (410, "Expired"));
    assert!(
        error.message.starts_with("too old resource version: "),
        "{}",
        error.message
    );
    Ok(())
}

#[tokio::test]
async fn a_reflector_survives_an_expired_watch() -> Result<()> {
    for config in [watcher::Config::default(), watcher::Config::default().streaming_lists()] {
        let server = ApiServer::new();
        let api: Api<ConfigMap> = Api::default_namespaced(server.client());
        api.create(&PostParams::default(), &config_map("a", "1")).await?;

        let (reader, writer) = reflector::store();
        let mut stream = reflector(writer, watcher(api.clone(), config).default_backoff())
            .touched_objects()
            .boxed();
        let reading = tokio::spawn(async move { while stream.next().await.is_some() {} });
        within(reader.wait_until_ready()).await?;
        assert_eq!(reader.len(), 1);

        server.expire_watches();
        api.create(&PostParams::default(), &config_map("b", "1")).await?;
        api.delete("a", &DeleteParams::default()).await?;
        within(async {
            while reader.state().iter().map(|one| one.name_any()).collect::<Vec<_>>() != ["b"] {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        reading.abort();
    }
    Ok(())
}

#[derive(Debug, thiserror::Error)]
#[error("never")]
struct Never;

#[tokio::test]
async fn the_finalizer_helper_adds_and_removes_its_finalizer() -> Result<()> {
    let server = ApiServer::new();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    let object = Arc::new(api.create(&PostParams::default(), &config_map("a", "1")).await?);
    let step = async |object: Arc<ConfigMap>| {
        finalizer(&api, "kpr.dev/test", object, |event| async move {
            match event {
                finalizer::Event::Apply(_) | finalizer::Event::Cleanup(_) => {
                    Ok::<_, Never>(kube::runtime::controller::Action::await_change())
                }
            }
        })
        .await
        .map_err(|error| anyhow::anyhow!("{error}"))
    };
    step(object).await?;
    let held = api.get("a").await?;
    assert_eq!(held.finalizers(), ["kpr.dev/test"]);

    let deleted = api.delete("a", &DeleteParams::default()).await?;
    assert!(
        deleted
            .left()
            .context("the object")?
            .meta()
            .deletion_timestamp
            .is_some()
    );
    let refused = json!({"metadata": {"finalizers": ["kpr.dev/test", "kpr.dev/more"]}});
    let error = api
        .patch("a", &PatchParams::default(), &Patch::Merge(&refused))
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("no new finalizers can be added if the object is being deleted"),
        "{error}"
    );

    step(Arc::new(api.get("a").await?)).await?;
    assert!(api.get_opt("a").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn dependents_go_with_their_owner() -> Result<()> {
    let server = ApiServer::new();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client());
    for (params, stays) in [
        (DeleteParams::background(), false),
        (DeleteParams::foreground(), false),
        (DeleteParams::orphan(), true),
    ] {
        let owner = api.create(&PostParams::default(), &config_map("owner", "1")).await?;
        let mut child = config_map("child", "1");
        child.metadata.owner_references = Some(vec![owner.controller_owner_ref(&()).context("a reference")?]);
        api.create(&PostParams::default(), &child).await?;

        api.delete("owner", &params).await?;
        assert!(api.get_opt("owner").await?.is_none(), "{params:?}");
        let left = api.get_opt("child").await?;
        assert_eq!(left.is_some(), stays, "{params:?}");
        if let Some(child) = left {
            assert!(child.owner_references().is_empty());
            api.delete("child", &DeleteParams::default()).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_namespace_takes_its_contents_along() -> Result<()> {
    let server = ApiServer::new();
    let namespaces: Api<Namespace> = Api::all(server.client());
    let absent: Api<ConfigMap> = Api::namespaced(server.client(), "team");
    let error = absent
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("namespaces \"team\" not found"), "{error}");

    let team: Namespace = serde_json::from_value(json!({"metadata": {"name": "team"}}))?;
    namespaces.create(&PostParams::default(), &team).await?;
    let mut held = config_map("a", "1");
    held.metadata.finalizers = Some(vec!["kpr.dev/test".into()]);
    absent.create(&PostParams::default(), &held).await?;

    namespaces.delete("team", &DeleteParams::default()).await?;
    let phase = namespaces.get("team").await?.status.and_then(|status| status.phase);
    assert_eq!(phase.as_deref(), Some("Terminating"));
    let error = absent
        .create(&PostParams::default(), &config_map("b", "1"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("because it is being terminated"), "{error}");

    absent
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(json!({"metadata": {"finalizers": null}})),
        )
        .await?;
    assert!(namespaces.get_opt("team").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn services_get_addresses_and_ports_at_once() -> Result<()> {
    let server = ApiServer::new();
    let api: Api<Service> = Api::default_namespaced(server.client());
    let service = |name: &str, spec: serde_json::Value| -> Result<Service> {
        Ok(serde_json::from_value(
            json!({"metadata": {"name": name}, "spec": spec}),
        )?)
    };
    let web = service(
        "web",
        json!({"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]}),
    )?;
    let web = api.create(&PostParams::default(), &web).await?.spec.context("a spec")?;
    let port = &web.ports.context("ports")?[0];
    let (ip, node_port) = (web.cluster_ip.context("an IP")?, port.node_port.context("a node port")?);
    assert!(ip.starts_with("10.96.") && (30000..=32767).contains(&node_port));

    let cases = [
        (
            json!({"ports": [{"port": 80}], "clusterIP": ip}),
            format!(
                "spec.clusterIPs: Invalid value: [\"{ip}\"]: failed to allocate IP {ip}: provided IP is already allocated"
            ),
        ),
        (
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": node_port}]}),
            format!("spec.ports[0].nodePort: Invalid value: {node_port}: provided port is already allocated"),
        ),
        (
            json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": 80}]}),
            "spec.ports[0].nodePort: Invalid value: 80: provided port is not in the valid range. \
             The range of valid ports is 30000-32767"
                .to_owned(),
        ),
        (json!({"ports": []}), "spec.ports: Required value".to_owned()),
    ];
    for (spec, want) in cases {
        let error = api
            .create(&PostParams::default(), &service("other", spec)?)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains(&want), "{error}");
    }

    let to_cluster_ip = json!({"spec": {"type": "ClusterIP"}});
    let changed = api
        .patch("web", &PatchParams::default(), &Patch::Merge(&to_cluster_ip))
        .await?
        .spec
        .context("a spec")?;
    assert_eq!(changed.ports.context("ports")?[0].node_port, None);
    assert_eq!(changed.cluster_ip.as_ref(), Some(&ip));
    let again = service(
        "other",
        json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": node_port}]}),
    )?;
    api.create(&PostParams::default(), &again).await?;
    Ok(())
}

#[tokio::test]
async fn faults_and_the_request_log_see_who_asked() -> Result<()> {
    let server = ApiServer::new();
    let api: Api<ConfigMap> = Api::default_namespaced(server.client_as("kpr-operator"));
    server.inject(
        Fault::fail(500, "InternalError", "on purpose")
            .verb("create")
            .target("configmaps")
            .times(1),
    );
    let error = api
        .create(&PostParams::default(), &config_map("a", "1"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("on purpose"), "{error}");
    api.create(&PostParams::default(), &config_map("a", "1")).await?;
    assert_eq!(server.requests().count_by("create", "configmaps", "kpr-operator"), 2);
    assert_eq!(server.requests().count_by("create", "configmaps", "somebody"), 0);
    assert_eq!(server.requests().writes().count(), 2);
    Ok(())
}
