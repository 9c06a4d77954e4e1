//! CustomResourceDefinitions: names are accepted and the CRD is established in the write that creates it.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::field::FieldError;
use crate::object::{self, at, child_mut, list, put_default, text};

/// The API group of CRDs.
pub(crate) const GROUP: &str = "apiextensions.k8s.io";

/// Fills in the derived names and the conversion strategy.
pub(super) fn default(crd: &mut Value) {
    let kind = text(crd, &["spec", "names", "kind"]).to_owned();
    let spec = child_mut(crd, "spec");
    put_default(spec, "conversion", json!({"strategy": "None"}));
    let names = object::map_mut(spec.entry("names").or_insert_with(|| json!({})));
    if !kind.is_empty() {
        put_default(names, "singular", kind.to_lowercase().into());
        put_default(names, "listKind", format!("{kind}List").into());
    }
}

/// Writes the status that the naming and establishing controllers would write.
pub(super) fn establish(crd: &mut Value, now: Timestamp) {
    let names = crd["spec"]["names"].clone();
    let stored: Vec<Value> = list(crd, &["spec", "versions"])
        .iter()
        .filter(|version| version["storage"] == true)
        .map(|version| version["name"].clone())
        .collect();
    let mut versions = list(crd, &["status", "storedVersions"]).to_vec();
    for version in stored {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    let conditions = at(crd, &["status", "conditions"]).cloned().unwrap_or_else(|| {
        let at = object::time(now);
        json!([
            {"type": "NamesAccepted", "status": "True", "lastTransitionTime": at, "reason": "NoConflicts",
             "message": "no conflicts found"},
            {"type": "Established", "status": "True", "lastTransitionTime": at, "reason": "InitialNamesAccepted",
             "message": "the initial names have been accepted"},
        ])
    });
    let status = child_mut(crd, "status");
    status.insert("conditions".into(), conditions);
    status.insert("acceptedNames".into(), names);
    status.insert("storedVersions".into(), Value::Array(versions));
}

/// What may not change: where objects are kept depends on it.
pub(super) fn validate_update(crd: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let scope = text(crd, &["spec", "scope"]);
    match old {
        Some(old) if text(old, &["spec", "scope"]) != scope => {
            vec![FieldError::invalid("spec.scope", scope, "field is immutable")]
        }
        _ => Vec::new(),
    }
}
