//! Whatever is done to the objects, a watching store ends up with what a list shows.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use k8s_openapi::api::core::v1::ConfigMap;
use kpr_apiserver::ApiServer;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Resource, ResourceExt};
use proptest::prelude::*;
use serde_json::json;

#[derive(Debug, Clone)]
enum Operation {
    Create(u8),
    Patch(u8, u8),
    Label(u8, bool),
    Hold(u8),
    Release(u8),
    Delete(u8),
    DropWatches,
    Expire,
}

fn operation() -> impl Strategy<Value = Operation> {
    let name = 0u8..4;
    prop_oneof![
        3 => name.clone().prop_map(Operation::Create),
        3 => (name.clone(), any::<u8>()).prop_map(|(name, value)| Operation::Patch(name, value)),
        2 => (name.clone(), any::<bool>()).prop_map(|(name, on)| Operation::Label(name, on)),
        1 => name.clone().prop_map(Operation::Hold),
        1 => name.clone().prop_map(Operation::Release),
        3 => name.prop_map(Operation::Delete),
        1 => Just(Operation::DropWatches),
        1 => Just(Operation::Expire),
    ]
}

/// Carries the operation out; that it may be refused is part of the game.
async fn carry_out(server: &ApiServer, api: &Api<ConfigMap>, operation: &Operation) {
    let patch = async |name: &u8, body: serde_json::Value| {
        api.patch(&name.to_string(), &PatchParams::default(), &Patch::Merge(body))
            .await
            .ok();
    };
    match operation {
        Operation::Create(name) => {
            api.create(&PostParams::default(), &common::config_map(&name.to_string(), "0"))
                .await
                .ok();
        }
        Operation::Patch(name, value) => patch(name, json!({"data": {"v": value.to_string()}})).await,
        Operation::Label(name, on) => {
            patch(name, json!({"metadata": {"labels": {"chosen": on.then_some("yes")}}})).await;
        }
        Operation::Hold(name) => patch(name, json!({"metadata": {"finalizers": ["kpr.dev/hold"]}})).await,
        Operation::Release(name) => patch(name, json!({"metadata": {"finalizers": null}})).await,
        Operation::Delete(name) => {
            api.delete(&name.to_string(), &DeleteParams::default()).await.ok();
        }
        Operation::DropWatches => server.drop_watches(),
        Operation::Expire => server.expire_watches(),
    }
}

fn versions<'a>(objects: impl IntoIterator<Item = &'a ConfigMap>) -> BTreeMap<String, String> {
    objects
        .into_iter()
        .map(|one| (one.name_any(), one.meta().resource_version.clone().unwrap_or_default()))
        .collect()
}

async fn check(operations: Vec<Operation>, config: watcher::Config) -> Result<(), TestCaseError> {
    let server = ApiServer::new();
    let objects: Api<ConfigMap> = Api::default_namespaced(server.client());
    let (reader, writer) = reflector::store();
    let mut stream = reflector(writer, watcher(objects.clone(), config.clone())).boxed();
    let watching = tokio::spawn(async move { while stream.next().await.is_some() {} });
    common::within(reader.wait_until_ready())
        .await
        .map_err(|error| TestCaseError::fail(error.to_string()))?;

    let (mut before, mut revision_before) = (BTreeMap::new(), server.revision());
    for operation in &operations {
        carry_out(&server, &objects, operation).await;
        let list = objects
            .list(&ListParams::default())
            .await
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        let now = versions(&list);
        let revision = server.revision();
        prop_assert!(revision >= revision_before, "revisions never go back");
        if now != before {
            prop_assert!(revision > revision_before, "a change moves the revision on");
        }
        (before, revision_before) = (now, revision);
    }
    let params = ListParams {
        label_selector: config.label_selector.clone(),
        ..ListParams::default()
    };
    let list = objects
        .list(&params)
        .await
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    let want = versions(&list);
    let have = || versions(reader.state().iter().map(AsRef::as_ref));
    let settled = tokio::time::timeout(Duration::from_secs(20), async {
        while have() != want {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let in_time = settled.await.is_ok();
    watching.abort();
    prop_assert!(in_time, "the store has {:?}, the list {want:?}", have());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_reflectors_store_equals_the_servers_list(
        operations in prop::collection::vec(operation(), 1..40),
        selective in any::<bool>(),
        streaming in any::<bool>(),
    ) {
        let mut config = watcher::Config::default();
        if selective {
            config = config.labels("chosen=yes");
        }
        if streaming {
            config = config.streaming_lists();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(check(operations, config))?;
    }
}

#[test]
fn the_stream_of_a_reflector_applies_objects() {
    // Guards the property above against a reflector that never sees anything.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let server = ApiServer::new();
        let api: Api<ConfigMap> = Api::default_namespaced(server.client());
        let mut stream = watcher(api.clone(), watcher::Config::default())
            .applied_objects()
            .boxed();
        api.create(&PostParams::default(), &common::config_map("a", "0"))
            .await
            .expect("created");
        let seen = common::within(stream.next())
            .await
            .expect("an event")
            .expect("an object");
        assert_eq!(seen.name_any(), "a");
    });
}
