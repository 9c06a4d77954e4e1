//! kpr's own CRDs, as they are shipped: what the server says to wrong input names the field.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use kpr_apiserver::ApiServer;
use serde_json::{Value, json};

/// A server with the CRDs of the repository.
fn server() -> Result<ApiServer> {
    let server = ApiServer::new();
    for name in ["kubeproxyreplacements.kpr.dev.yaml", "nodedatapaths.kpr.dev.yaml"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds").join(name);
        let text = fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
        server
            .create(serde_saphyr::from_str(&text)?)
            .with_context(|| format!("{name} is refused"))?;
    }
    Ok(server)
}

fn kpr(spec: &Value) -> Value {
    json!({
        "apiVersion": "kpr.dev/v1alpha1", "kind": "KubeProxyReplacement", "metadata": {"name": "default"}, "spec": spec,
    })
}

#[test]
fn an_empty_spec_is_accepted_and_filled_with_defaults() -> Result<()> {
    let created = server()?.create(kpr(&json!({})))?;
    assert_eq!(created["spec"]["nodePort"]["range"], "30000-32767");
    assert_eq!(created["metadata"]["generation"], 1);
    Ok(())
}

#[test]
fn wrong_input_is_refused_with_a_message_that_names_the_field() -> Result<()> {
    let server = server()?;
    let cases = [
        (
            json!({"nodePort": {"range": "32767-30000"}}),
            "spec.nodePort.range",
            "reversed",
        ),
        (
            json!({"mode": "Sometimes"}),
            "spec.mode",
            r#"Unsupported value: "Sometimes": supported values: "#,
        ),
        (
            json!({"nodePort": {"addresses": ["10.0.0.0/99"]}}),
            "spec.nodePort.addresses",
            "must be a CIDR",
        ),
    ];
    for (spec, field, words) in cases {
        let error = server.create(kpr(&spec)).unwrap_err();
        assert_eq!((error.code, error.reason), (422, "Invalid"), "{spec}");
        let message = &error.message;
        assert!(
            message.starts_with(r#"KubeProxyReplacement.kpr.dev "default" is invalid: "#),
            "{message}"
        );
        assert!(
            message.contains(field) && message.contains(words),
            "{message}\nshould name {field}: {words}"
        );
        assert_eq!(error.details["causes"][0]["field"], field);
    }
    let unknown = server.create(kpr(&json!({"nodePorts": {}}))).unwrap_err();
    assert_eq!(unknown.code, 400);
    assert!(
        unknown.message.contains(r#"unknown field "spec.nodePorts""#),
        "{}",
        unknown.message
    );
    Ok(())
}
