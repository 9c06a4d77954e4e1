//! Deployments, ReplicaSets and DaemonSets.

use serde_json::Value;

use super::pod;
use crate::field::FieldError;
use crate::object::{at, list, text};

pub(super) fn validate(object: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    match at(object, &["spec", "selector"]) {
        None => errors.push(FieldError::required("spec.selector", "")),
        Some(selector) => {
            let labels = &object["spec"]["template"]["metadata"]["labels"];
            let empty = list(selector, &["matchExpressions"]).is_empty()
                && at(selector, &["matchLabels"])
                    .and_then(Value::as_object)
                    .is_none_or(serde_json::Map::is_empty);
            if empty {
                errors.push(FieldError::invalid(
                    "spec.selector",
                    selector.clone(),
                    "empty selector is invalid for deployment",
                ));
            } else if !selects(selector, labels) {
                let why = "`selector` does not match template `labels`";
                errors.push(FieldError::invalid(
                    "spec.template.metadata.labels",
                    labels.clone(),
                    why,
                ));
            }
            if let Some(old) = old
                && old["spec"]["selector"] != *selector
            {
                errors.push(FieldError::invalid(
                    "spec.selector",
                    selector.clone(),
                    "field is immutable",
                ));
            }
        }
    }
    if let Some(replicas) = at(object, &["spec", "replicas"])
        .and_then(Value::as_i64)
        .filter(|n| *n < 0)
    {
        errors.push(FieldError::invalid(
            "spec.replicas",
            replicas,
            "must be greater than or equal to 0",
        ));
    }
    let template = &object["spec"]["template"]["spec"];
    let restart = text(template, &["restartPolicy"]);
    if restart != "Always" {
        errors.push(FieldError::not_supported(
            "spec.template.spec.restartPolicy",
            restart,
            &["Always"],
        ));
    }
    errors.extend(pod::containers(template, "spec.template.spec"));
    errors
}

/// Whether a `metav1.LabelSelector` selects these labels.
fn selects(selector: &Value, labels: &Value) -> bool {
    let pairs = at(selector, &["matchLabels"]).and_then(Value::as_object);
    let all = pairs
        .into_iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    all && list(selector, &["matchExpressions"]).iter().all(|expression| {
        let label = labels.get(text(expression, &["key"]));
        let listed = label.is_some_and(|label| list(expression, &["values"]).contains(label));
        match text(expression, &["operator"]) {
            "In" => listed,
            "NotIn" => !listed,
            "Exists" => label.is_some(),
            "DoesNotExist" => label.is_none(),
            _ => false,
        }
    })
}
