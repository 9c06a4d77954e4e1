//! The subresource `scale`.

use serde_json::{Value, json};

use crate::error::{ApiError, Result};
use crate::object;
use crate::resource::Resource;

/// The `autoscaling/v1` Scale of an object.
pub(super) fn of(resource: &Resource, stored: &Value) -> Result<Value> {
    let paths = resource.scale.as_ref().ok_or_else(ApiError::no_such_resource)?;
    let count = |path: &crate::jsonpath::JsonPath| path.first(stored).and_then(Value::as_i64).unwrap_or_default();
    let selector = match &paths.selector {
        Some(path) => path
            .first(stored)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        None => selector_text(&stored["spec"]["selector"]),
    };
    let metadata = &stored["metadata"];
    Ok(json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {
            "name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"], "creationTimestamp": metadata["creationTimestamp"],
        },
        "spec": {"replicas": count(&paths.spec_replicas)},
        "status": {"replicas": count(&paths.status_replicas), "selector": selector},
    }))
}

/// The object with the number of replicas that `scale` asks for.
pub(super) fn applied(resource: &Resource, object: &Value, scale: &Value) -> Result<Value> {
    let paths = resource.scale.as_ref().ok_or_else(ApiError::no_such_resource)?;
    let replicas = match object::at(scale, &["spec", "replicas"]) {
        None => 0,
        Some(value) => value.as_i64().filter(|replicas| *replicas >= 0).ok_or_else(|| {
            ApiError::bad_request(format!(
                "spec.replicas: Invalid value: {value}: must be greater than or equal to 0"
            ))
        })?,
    };
    let mut object = object.clone();
    paths.spec_replicas.set(&mut object, json!(replicas));
    let asked = object::text(scale, &["metadata", "resourceVersion"]).to_owned();
    object::put(
        object::meta_mut(&mut object),
        "resourceVersion",
        (!asked.is_empty()).then(|| asked.into()),
    );
    Ok(object)
}

fn selector_text(selector: &Value) -> String {
    let labels = object::at(selector, &["matchLabels"]).and_then(Value::as_object);
    let mut terms: Vec<String> = labels
        .into_iter()
        .flatten()
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    for expression in object::list(selector, &["matchExpressions"]) {
        let key = object::text(expression, &["key"]);
        let values: Vec<&str> = object::list(expression, &["values"])
            .iter()
            .filter_map(Value::as_str)
            .collect();
        terms.push(match object::text(expression, &["operator"]) {
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            operator => format!("{key} {} ({})", operator.to_lowercase(), values.join(",")),
        });
    }
    terms.sort();
    terms.join(",")
}
