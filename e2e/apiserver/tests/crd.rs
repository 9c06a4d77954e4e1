//! Custom resources: what a CRD's schema asks for is enforced with the real server's words.

mod common;

use anyhow::{Context, Result};
use common::{gateway, gateways};
use http::Request;
use kpr_apiserver::ApiServer;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

fn api(client: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("test.kpr.dev", "v1alpha1", "Gateway");
    Api::all_with(client, &ApiResource::from_gvk_with_plural(&kind, "gateways"))
}

fn server() -> Result<ApiServer> {
    let server = ApiServer::new();
    server.create(gateways())?;
    Ok(server)
}

async fn refusal(client: &Client, method: &str, path: &str, body: &Value) -> Result<Value> {
    let request = Request::builder().method(method).uri(path).header(
        "content-type",
        match method {
            "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        },
    );
    match client
        .request::<Value>(request.body(body.to_string().into_bytes())?)
        .await
    {
        Ok(object) => anyhow::bail!("not refused: {object}"),
        Err(kube::Error::Api(status)) => Ok(serde_json::to_value(*status)?),
        Err(other) => Err(other.into()),
    }
}

const PATH: &str = "/apis/test.kpr.dev/v1alpha1/gateways";

#[tokio::test]
async fn objects_that_break_the_schema_are_refused_with_the_field_named() -> Result<()> {
    let server = server()?;
    let client = server.client();
    let cases = [
        (
            json!({"mode": "Foo"}),
            r#"spec.mode: Unsupported value: "Foo": supported values: "Strict", "Partial""#,
        ),
        (
            json!({"ports": {"max": 70000}}),
            "spec.ports.max: Invalid value: 70000: spec.ports.max in body should be less than or equal to 65535",
        ),
        (
            json!({"ports": {"min": 5}}),
            "spec.ports.min: Invalid value: 5: spec.ports.min in body should be greater than or equal to 1024",
        ),
        (
            json!({"ports": {"min": "many"}}),
            r#"spec.ports.min: Invalid value: "string": spec.ports.min in body must be of type integer: "string""#,
        ),
        (
            json!({"ports": {"min": 2000, "max": 1500}}),
            r#"spec.ports.min: Invalid value: "object": min must not be above max"#,
        ),
        (
            json!({"devices": ["eth0", "eth0"]}),
            r#"spec.devices[1]: Duplicate value: "eth0""#,
        ),
        (
            json!({"devices": ["a-name-that-is-too-long"]}),
            "spec.devices[0]: Too long: may not be more than 15 bytes",
        ),
        (
            json!({"devices": ["a", "b", "c", "d", "e"]}),
            "spec.devices: Too many: 5: must have at most 4 items",
        ),
        (
            json!({"cidrs": ["10.0.0.0/8", "nonsense"]}),
            r#"spec.cidrs[1]: Invalid value: "string": must be a CIDR, not nonsense"#,
        ),
    ];
    for (spec, want) in cases {
        let status = refusal(&client, "POST", PATH, &gateway("a", spec)).await?;
        assert_eq!(status["code"], 422);
        assert_eq!(status["reason"], "Invalid");
        let message = status["message"].as_str().context("a message")?;
        assert!(
            message.starts_with("Gateway.test.kpr.dev \"a\" is invalid: "),
            "{message}"
        );
        assert!(message.contains(want), "{message}\nshould contain\n{want}");
        let field = want.split(": ").next();
        assert_eq!(status["details"]["causes"][0]["field"].as_str(), field);
    }
    Ok(())
}

#[tokio::test]
async fn rules_are_not_checked_on_an_object_whose_schema_is_broken() -> Result<()> {
    let client = server()?.client();
    let both = gateway("a", json!({"mode": "Foo", "ports": {"min": 2000, "max": 1500}}));
    let status = refusal(&client, "POST", PATH, &both).await?;
    let message = status["message"].as_str().context("a message")?;
    assert!(
        message.contains("<nil>: Invalid value: null: some validation rules were not checked"),
        "{message}"
    );
    assert!(!message.contains("min must not be above max"), "{message}");

    let missing = json!({"apiVersion": "test.kpr.dev/v1alpha1", "kind": "Gateway", "metadata": {"name": "a"}});
    let status = refusal(&client, "POST", PATH, &missing).await?;
    assert!(
        status["message"]
            .as_str()
            .context("a message")?
            .contains("spec: Required value"),
        "{status}"
    );

    let forbidden = refusal(&client, "POST", PATH, &gateway("forbidden", json!({}))).await?;
    assert_eq!(forbidden["details"]["causes"][0]["reason"], "FieldValueForbidden");
    assert_eq!(forbidden["details"]["causes"][0]["field"], "<nil>");
    Ok(())
}

#[tokio::test]
async fn defaults_are_filled_in_also_inside_of_defaults() -> Result<()> {
    let api = api(server()?.client());
    let ports = |object: &DynamicObject| object.data["spec"]["ports"].clone();
    for (name, spec, want) in [
        ("a", json!({}), json!({"min": 30000, "max": 32767})),
        (
            "b",
            json!({"ports": {"min": 31000}}),
            json!({"min": 31000, "max": 32767}),
        ),
        (
            "c",
            json!({"ports": {"min": null}}),
            json!({"min": 30000, "max": 32767}),
        ),
    ] {
        let created = api
            .create(&PostParams::default(), &serde_json::from_value(gateway(name, spec))?)
            .await?;
        assert_eq!(ports(&created), want, "{name}");
        assert_eq!(created.data["spec"]["mode"], "Strict");
        assert_eq!(created.data["spec"]["devices"], json!([]));
        assert_eq!(created.metadata.generation, Some(1));
    }
    Ok(())
}

#[tokio::test]
async fn unknown_fields_are_refused_pruned_or_warned_about_as_asked() -> Result<()> {
    let server = server()?;
    let client = server.client();
    let object = gateway("a", json!({"mode": "Strict", "colour": "red", "ports": {"mid": 1}}));
    let status = refusal(&client, "POST", &format!("{PATH}?fieldValidation=Strict"), &object).await?;
    assert_eq!(
        status["message"],
        "Gateway in version \"v1alpha1\" cannot be handled as a Gateway: strict decoding error: \
         unknown field \"spec.colour\", unknown field \"spec.ports.mid\""
    );
    assert_eq!(
        (&status["code"], &status["reason"]),
        (&json!(400), &json!("BadRequest"))
    );

    let request = Request::post(PATH)
        .header("content-type", "application/json")
        .body(object.to_string().into_bytes())?;
    let response = client.send(request.map(Into::into)).await?;
    let warnings: Vec<_> = response
        .headers()
        .get_all("warning")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    assert_eq!(
        warnings,
        [
            r#"299 - "unknown field \"spec.colour\"""#,
            r#"299 - "unknown field \"spec.ports.mid\"""#
        ]
    );
    let stored = api(client).get("a").await?;
    assert_eq!(stored.data["spec"].get("colour"), None);
    assert_eq!(stored.data["spec"]["ports"], json!({"min": 30000, "max": 32767}));
    Ok(())
}

#[tokio::test]
async fn a_field_given_twice_is_refused_where_the_client_is_strict() -> Result<()> {
    let client = server()?.client();
    let twice = r#"{"apiVersion": "test.kpr.dev/v1alpha1", "kind": "Gateway", "metadata": {"name": "a"},
        "spec": {"mode": "Strict", "mode": "Partial"}}"#;
    let request = Request::post(format!("{PATH}?fieldValidation=Strict")).header("content-type", "application/json");
    let error = client
        .request::<Value>(request.body(twice.as_bytes().to_vec())?)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("strict decoding error: duplicate field \"spec.mode\""),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn transition_rules_see_the_old_object() -> Result<()> {
    let server = server()?;
    server.create(gateway("a", json!({"algorithm": "Maglev"})))?;
    let client = server.client();
    let status = refusal(
        &client,
        "PATCH",
        &format!("{PATH}/a"),
        &json!({"spec": {"algorithm": "Random"}}),
    )
    .await?;
    let want = r#"spec.algorithm: Invalid value: "string": algorithm is immutable"#;
    assert!(
        status["message"].as_str().context("a message")?.contains(want),
        "{status}"
    );
    let other = json!({"spec": {"mode": "Partial"}});
    api(client)
        .patch("a", &PatchParams::default(), &Patch::Merge(&other))
        .await?;
    Ok(())
}

#[tokio::test]
async fn spec_and_status_are_written_through_their_own_endpoints() -> Result<()> {
    let server = server()?;
    let api = api(server.client());
    let mut object = gateway("a", json!({}));
    object["status"] = json!({"ready": 7});
    let created = api
        .create(&PostParams::default(), &serde_json::from_value(object)?)
        .await?;
    assert_eq!(created.data.get("status"), None);

    let both = json!({"spec": {"mode": "Partial"}, "status": {"ready": 3}, "metadata": {"labels": {"a": "b"}}});
    let status = api
        .patch_status("a", &PatchParams::default(), &Patch::Merge(&both))
        .await?;
    assert_eq!(
        (&status.data["spec"]["mode"], &status.data["status"]["ready"]),
        (&json!("Strict"), &json!(3))
    );
    assert_eq!(
        (status.metadata.labels.as_ref(), status.metadata.generation),
        (None, Some(1))
    );

    let main = api
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(&json!({"spec": {"mode": "Partial"}, "status": {"ready": 9}})),
        )
        .await?;
    assert_eq!(
        (&main.data["spec"]["mode"], &main.data["status"]["ready"]),
        (&json!("Partial"), &json!(3))
    );
    assert_eq!(main.metadata.generation, Some(2));

    let label = api
        .patch(
            "a",
            &PatchParams::default(),
            &Patch::Merge(&json!({"metadata": {"labels": {"a": "b"}}})),
        )
        .await?;
    assert_eq!(label.metadata.generation, Some(2));
    Ok(())
}

#[tokio::test]
async fn a_put_must_name_the_version_that_it_replaces() -> Result<()> {
    let server = server()?;
    server.create(gateway("a", json!({})))?;
    let client = server.client();
    let status = refusal(&client, "PUT", &format!("{PATH}/a"), &gateway("a", json!({}))).await?;
    let want = "metadata.resourceVersion: Invalid value: 0: must be specified for an update";
    assert!(
        status["message"].as_str().context("a message")?.contains(want),
        "{status}"
    );
    let mut stale = gateway("a", json!({}));
    stale["metadata"]["resourceVersion"] = json!("1");
    let status = refusal(&client, "PUT", &format!("{PATH}/a"), &stale).await?;
    assert_eq!(
        status["message"],
        "Operation cannot be fulfilled on gateways.test.kpr.dev \"a\": the object has been modified; please apply your \
         changes to the latest version and try again"
    );
    Ok(())
}

#[tokio::test]
async fn fields_are_selectable_where_the_crd_says_so() -> Result<()> {
    let server = server()?;
    server.create(gateway("a", json!({"mode": "Strict"})))?;
    server.create(gateway("b", json!({"mode": "Partial"})))?;
    let api = api(server.client());
    let found = api.list(&ListParams::default().fields("spec.mode=Partial")).await?;
    assert_eq!(found.items.len(), 1);
    let error = api
        .list(&ListParams::default().fields("spec.algorithm=Random"))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("field label not supported: spec.algorithm"),
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn crds_that_cannot_be_served_are_refused() -> Result<()> {
    let cases: [(&str, Value, &str); 8] = [
        (
            "/metadata/name",
            json!("gates.test.kpr.dev"),
            "metadata.name: Invalid value",
        ),
        (
            "/spec/scope",
            json!("Global"),
            r#"spec.scope: Unsupported value: "Global""#,
        ),
        (
            "/spec/versions/0/storage",
            json!(false),
            "must have exactly one version marked as storage version",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/type",
            json!("string"),
            "must be object at the root",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/ports/x-kubernetes-validations/0/rule",
            json!("self.min <="),
            "compilation failed",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/cidrs/items/x-kubernetes-validations/0/rule",
            json!("self == oldSelf"),
            "does not evaluate oldSelf below the items of a list",
        ),
        (
            "/spec/versions/0/additionalPrinterColumns/0/jsonPath",
            json!("spec.mode"),
            "must start with a dot",
        ),
        (
            "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/mode/type",
            json!("text"),
            "Unsupported value",
        ),
    ];
    for (at, value, want) in cases {
        let mut crd = gateways();
        *crd.pointer_mut(at).context(at)? = value;
        let error = ApiServer::new().create(crd).unwrap_err();
        assert_eq!(error.code, 422, "{at}");
        assert!(
            error.message.contains(want),
            "{}\nshould contain\n{want}",
            error.message
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_crd_takes_its_objects_along() -> Result<()> {
    let server = server()?;
    server.create(gateway("a", json!({})))?;
    let client = server.client();
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gateways.test.kpr.dev";
    client.request::<Value>(Request::delete(path).body(Vec::new())?).await?;
    let error = api(client.clone()).list(&ListParams::default()).await.unwrap_err();
    // Nothing of the group is left, so nobody answers for it.
    assert!(error.to_string().contains("404 page not found"), "{error}");
    server.create(gateways())?;
    assert!(api(client).list(&ListParams::default()).await?.items.is_empty());
    Ok(())
}

#[tokio::test]
async fn tables_show_the_columns_of_the_crd() -> Result<()> {
    let server = server()?;
    server.create(gateway("a", json!({})))?;
    let accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let request = Request::get(PATH).header("accept", accept).body(Vec::new())?;
    let table: Value = server.client().request(request).await?;
    assert_eq!(table["kind"], "Table");
    let columns: Vec<_> = table["columnDefinitions"]
        .as_array()
        .context("columns")?
        .iter()
        .map(|c| (c["name"].clone(), c["priority"].clone()))
        .collect();
    let want = [("Name", 0), ("Mode", 0), ("Ready", 0), ("Reason", 1), ("Age", 0)];
    assert_eq!(columns, want.map(|(name, priority)| (json!(name), json!(priority))));
    let cells = &table["rows"][0]["cells"];
    assert_eq!(
        (&cells[0], &cells[1], &cells[2], &cells[3]),
        (&json!("a"), &json!("Strict"), &Value::Null, &Value::Null)
    );
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    Ok(())
}

#[tokio::test]
async fn what_is_not_served_is_refused_with_the_right_code() -> Result<()> {
    let server = server()?;
    server.create(gateway("a", json!({})))?;
    let client = server.client();
    let cases = [
        ("PATCH", "/a", "application/strategic-merge-patch+json", "*/*", 415),
        ("POST", "", "text/plain", "*/*", 415),
        ("GET", "", "", "application/xml", 406),
        ("GET", "/b", "", "", 404),
        ("GET", "/a/scale", "", "", 404),
        ("POST", "/a", "application/json", "", 405),
    ];
    for (method, path, content_type, accept, want) in cases {
        let mut request = Request::builder().method(method).uri(format!("{PATH}{path}"));
        for (name, value) in [("content-type", content_type), ("accept", accept)] {
            if !value.is_empty() {
                request = request.header(name, value);
            }
        }
        match client.request::<Value>(request.body(b"{}".to_vec())?).await {
            Err(kube::Error::Api(status)) => assert_eq!(status.code, want, "{method} {path} {content_type} {accept}"),
            other => panic!("{method} {path}: {other:?}"),
        }
    }
    let unknown = client
        .request_text(Request::get("/apis/rbac.authorization.k8s.io/v1/clusterroles").body(Vec::new())?)
        .await;
    assert!(matches!(unknown, Err(kube::Error::Api(status)) if status.code == 404));
    Ok(())
}
