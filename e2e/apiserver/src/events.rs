//! One event, two APIs: `core/v1` and `events.k8s.io/v1` show the same stored object under different field names.

use serde_json::{Map, Value, json};

/// (`core/v1`, `events.k8s.io/v1`); fields that are not here have the same name in both.
const RENAMED: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// The stored (`core/v1`) event as `events.k8s.io/v1`.
pub(crate) fn to_events_api(stored: &Value) -> Value {
    rename(stored, "events.k8s.io/v1", |key| {
        RENAMED.iter().find(|(core, _)| *core == key).map(|(_, new)| *new)
    })
}

/// An `events.k8s.io/v1` event as it is stored (`core/v1`).
pub(crate) fn to_core(event: &Value) -> Value {
    rename(event, "v1", |key| {
        RENAMED.iter().find(|(_, new)| *new == key).map(|(core, _)| *core)
    })
}

fn rename(event: &Value, api_version: &str, new_name: impl Fn(&str) -> Option<&'static str>) -> Value {
    let Value::Object(fields) = event else {
        return event.clone();
    };
    let mut renamed: Map<String, Value> = fields
        .iter()
        .map(|(key, value)| (new_name(key).unwrap_or(key).to_owned(), value.clone()))
        .collect();
    renamed.insert("apiVersion".into(), json!(api_version));
    renamed.insert("kind".into(), json!("Event"));
    Value::Object(renamed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_survives_the_way_there_and_back() {
        let event = json!({
            "apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"},
            "regarding": {"kind": "Node", "name": "node-a"}, "note": "attached", "reason": "Attached", "type": "Normal",
            "reportingController": "kpr", "reportingInstance": "kpr-0", "action": "Attach", "eventTime": "2026-01-01T00:00:00.000000Z",
        });
        let stored = to_core(&event);
        assert_eq!(stored["involvedObject"]["name"], "node-a");
        assert_eq!(stored["message"], "attached");
        assert_eq!(stored["reportingComponent"], "kpr");
        assert_eq!(to_events_api(&stored), event);
    }
}
