//! Server-side apply: who owns what, and who may change it.

mod common;

use anyhow::{Context, Result};
use common::{gateway, gateways};
use kpr_apiserver::ApiServer;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

struct Fixture {
    server: ApiServer,
    api: Api<DynamicObject>,
}

impl Fixture {
    fn new() -> Result<Self> {
        let server = ApiServer::new();
        server.create(gateways())?;
        let kind = GroupVersionKind::gvk("test.kpr.dev", "v1alpha1", "Gateway");
        let api = Api::all_with(server.client(), &ApiResource::from_gvk_with_plural(&kind, "gateways"));
        Ok(Self { server, api })
    }

    async fn apply(&self, manager: &str, spec: Value) -> kube::Result<DynamicObject> {
        self.api
            .patch("a", &PatchParams::apply(manager), &Patch::Apply(gateway("a", spec)))
            .await
    }

    async fn force(&self, manager: &str, spec: Value) -> kube::Result<DynamicObject> {
        self.api
            .patch(
                "a",
                &PatchParams::apply(manager).force(),
                &Patch::Apply(gateway("a", spec)),
            )
            .await
    }

    async fn apply_status(&self, manager: &str, status: Value) -> kube::Result<DynamicObject> {
        let mut object = gateway("a", json!({}));
        object["status"] = status;
        if let Some(map) = object.as_object_mut() {
            map.remove("spec");
        }
        self.api
            .patch_status("a", &PatchParams::apply(manager).force(), &Patch::Apply(object))
            .await
    }
}

/// The `fieldsV1` of a manager.
fn owned(object: &DynamicObject, manager: &str, operation: &str) -> Value {
    let entries = object.metadata.managed_fields.iter().flatten();
    entries
        .filter(|entry| entry.manager.as_deref() == Some(manager) && entry.operation.as_deref() == Some(operation))
        .find_map(|entry| entry.fields_v1.as_ref().map(|fields| fields.0.clone()))
        .unwrap_or_default()
}

#[tokio::test]
async fn an_applier_owns_what_it_wrote_and_not_the_defaults() -> Result<()> {
    let fixture = Fixture::new()?;
    let object = fixture
        .apply(
            "me",
            json!({"mode": "Partial", "devices": ["eth0"], "ports": {"min": 31000}}),
        )
        .await?;
    assert_eq!(object.data["spec"]["ports"], json!({"min": 31000, "max": 32767}));
    assert_eq!(
        owned(&object, "me", "Apply"),
        json!({"f:spec": {"f:mode": {}, "f:devices": {"v:\"eth0\"": {}}, "f:ports": {"f:min": {}}}})
    );
    Ok(())
}

#[tokio::test]
async fn changing_what_another_manager_owns_is_a_conflict() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture
        .apply("first", json!({"mode": "Strict", "devices": ["eth0"]}))
        .await?;
    let error = fixture
        .apply("second", json!({"mode": "Partial", "devices": ["eth1"]}))
        .await
        .unwrap_err();
    let kube::Error::Api(status) = error else {
        panic!("{error}")
    };
    assert_eq!((status.code, status.reason.as_str()), (409, "Conflict"));
    assert_eq!(
        status.message,
        r#"Apply failed with 1 conflict: conflict with "first": .spec.mode"#
    );
    let causes = status.details.context("details")?.causes;
    assert_eq!(
        (causes[0].reason.as_str(), causes[0].field.as_str()),
        ("FieldManagerConflict", ".spec.mode")
    );

    let forced = fixture
        .force("second", json!({"mode": "Partial", "devices": ["eth1"]}))
        .await?;
    assert_eq!(forced.data["spec"]["mode"], "Partial");
    assert_eq!(
        forced.data["spec"]["devices"],
        json!(["eth0", "eth1"]),
        "items of a set have their own owners"
    );
    assert_eq!(
        owned(&forced, "first", "Apply"),
        json!({"f:spec": {"f:devices": {"v:\"eth0\"": {}}}})
    );
    Ok(())
}

#[tokio::test]
async fn a_conflict_with_an_updater_names_its_version() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.apply("first", json!({"mode": "Strict"})).await?;
    let change = json!({"spec": {"mode": "Partial"}});
    let params = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    let updated = fixture.api.patch("a", &params, &Patch::Merge(&change)).await?;
    assert_eq!(
        owned(&updated, "kubectl-edit", "Update"),
        json!({"f:spec": {"f:mode": {}}})
    );
    assert_eq!(
        owned(&updated, "first", "Apply"),
        Value::Null,
        "what was taken is no longer owned"
    );
    let error = fixture
        .apply("first", json!({"mode": "Strict"}))
        .await
        .unwrap_err()
        .to_string();
    let want = r#"Apply failed with 1 conflict: conflict with "kubectl-edit" using test.kpr.dev/v1alpha1: .spec.mode"#;
    assert!(error.contains(want), "{error}");
    Ok(())
}

#[tokio::test]
async fn equal_values_are_owned_together_and_stay_until_the_last_owner_gives_them_up() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.apply("first", json!({"cidrs": ["10.0.0.0/8"]})).await?;
    fixture.apply("second", json!({"cidrs": ["10.0.0.0/8"]})).await?;
    let one_left = fixture.apply("first", json!({})).await?;
    assert_eq!(one_left.data["spec"]["cidrs"], json!(["10.0.0.0/8"]));
    let none_left = fixture.apply("second", json!({})).await?;
    assert_eq!(none_left.data["spec"].get("cidrs"), None);
    Ok(())
}

#[tokio::test]
async fn fields_that_are_no_longer_applied_go_back_to_their_default() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture
        .apply("me", json!({"mode": "Partial", "devices": ["eth0", "eth1"]}))
        .await?;
    let object = fixture.apply("me", json!({"devices": ["eth1"]})).await?;
    assert_eq!(object.data["spec"]["mode"], "Strict");
    assert_eq!(object.data["spec"]["devices"], json!(["eth1"]));
    Ok(())
}

#[tokio::test]
async fn conditions_of_two_controllers_live_side_by_side() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.apply("user", json!({})).await?;
    let condition = |kind: &str, status: &str| json!({"type": kind, "status": status});
    fixture
        .apply_status(
            "agent",
            json!({"conditions": [condition("Ready", "True"), condition("Synced", "True")]}),
        )
        .await?;
    let both = fixture
        .apply_status(
            "operator",
            json!({"conditions": [condition("Available", "True")], "ready": 2}),
        )
        .await?;
    let kinds = |object: &DynamicObject| -> Vec<Value> {
        object.data["status"]["conditions"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one["type"].clone())
            .collect()
    };
    assert_eq!(kinds(&both), ["Ready", "Synced", "Available"]);
    let entry = both
        .metadata
        .managed_fields
        .iter()
        .flatten()
        .find(|entry| entry.manager.as_deref() == Some("agent"));
    assert_eq!(entry.context("an entry")?.subresource.as_deref(), Some("status"));
    assert_eq!(
        owned(&both, "operator", "Apply"),
        json!({"f:status": {
            "f:ready": {},
            "f:conditions": {"k:{\"type\":\"Available\"}": {".": {}, "f:type": {}, "f:status": {}}},
        }})
    );

    let dropped = fixture
        .apply_status("agent", json!({"conditions": [condition("Ready", "False")]}))
        .await?;
    assert_eq!(kinds(&dropped), ["Ready", "Available"]);
    assert_eq!(dropped.data["status"]["ready"], 2);
    Ok(())
}

#[tokio::test]
async fn the_same_configuration_again_is_no_write() -> Result<()> {
    let fixture = Fixture::new()?;
    fixture.apply("me", json!({"devices": ["eth0"]})).await?;
    fixture.apply_status("agent", json!({"ready": 1})).await?;
    let before = fixture.server.revision();
    fixture.apply("me", json!({"devices": ["eth0"]})).await?;
    fixture.apply_status("agent", json!({"ready": 1})).await?;
    assert_eq!(fixture.server.revision(), before);
    Ok(())
}

#[tokio::test]
async fn requests_that_cannot_be_applied_are_refused() -> Result<()> {
    let fixture = Fixture::new()?;
    let code = |error: kube::Error| match error {
        kube::Error::Api(status) => status.code,
        other => panic!("{other}"),
    };
    assert_eq!(
        code(fixture.apply_status("agent", json!({"ready": 1})).await.unwrap_err()),
        404
    );
    fixture.apply("me", json!({})).await?;
    let mut managed = gateway("a", json!({}));
    managed["metadata"]["managedFields"] = json!([{"manager": "x", "operation": "Apply"}]);
    let params = PatchParams::apply("me");
    assert_eq!(
        code(
            fixture
                .api
                .patch("a", &params, &Patch::Apply(&managed))
                .await
                .unwrap_err()
        ),
        400
    );
    let mut other = gateway("a", json!({}));
    other["kind"] = json!("Gate");
    assert_eq!(
        code(
            fixture
                .api
                .patch("a", &params, &Patch::Apply(&other))
                .await
                .unwrap_err()
        ),
        400
    );
    Ok(())
}
