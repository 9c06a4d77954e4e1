//! `metadata.managedFields`: reading, tracking and writing who owns which field.

use serde_json::{Value, json};

use crate::fields::{Comparison, FieldSet, compare};
use crate::object::{self, text};
use crate::resource::Resource;
use crate::write::{Part, WriteOptions};

/// One manager's entry.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Manager {
    pub(crate) name: String,
    /// By server-side apply, rather than by update.
    pub(crate) applies: bool,
    pub(crate) api_version: String,
    pub(crate) subresource: &'static str,
    pub(crate) time: String,
    pub(crate) fields: FieldSet,
}

impl Manager {
    /// Whether both entries are of the same manager: an applier is one over all versions, an updater is one per version.
    pub(crate) fn is(&self, other: &Manager) -> bool {
        self.name == other.name
            && self.applies == other.applies
            && self.subresource == other.subresource
            && (self.applies || self.api_version == other.api_version)
    }
}

pub(crate) fn subresource(part: Part) -> &'static str {
    match part {
        Part::Main => "",
        Part::Status => "status",
        Part::Scale => "scale",
    }
}

/// The entries of an object.
pub(crate) fn read(object: &Value) -> Vec<Manager> {
    let entries = object::list(object, &["metadata", "managedFields"]);
    entries
        .iter()
        .filter(|entry| !text(entry, &["operation"]).is_empty())
        .map(|entry| Manager {
            name: text(entry, &["manager"]).to_owned(),
            applies: text(entry, &["operation"]) == "Apply",
            api_version: text(entry, &["apiVersion"]).to_owned(),
            subresource: match text(entry, &["subresource"]) {
                "status" => "status",
                "scale" => "scale",
                _ => "",
            },
            time: text(entry, &["time"]).to_owned(),
            fields: FieldSet::from_json(&entry["fieldsV1"]),
        })
        .collect()
}

/// Writes the entries, in the order of the real server; empty ones go.
pub(crate) fn write(object: &mut Value, mut managers: Vec<Manager>) {
    managers.retain(|manager| !manager.fields.is_empty());
    managers.sort_by(|a, b| {
        (!a.applies, &a.time, &a.name, &a.api_version, a.subresource).cmp(&(
            !b.applies,
            &b.time,
            &b.name,
            &b.api_version,
            b.subresource,
        ))
    });
    let entries: Vec<Value> = managers.iter().map(entry).collect();
    let meta = object::meta_mut(object);
    object::put(
        meta,
        "managedFields",
        (!entries.is_empty()).then_some(Value::Array(entries)),
    );
}

fn entry(manager: &Manager) -> Value {
    let mut entry = json!({
        "manager": manager.name,
        "operation": if manager.applies { "Apply" } else { "Update" },
        "apiVersion": manager.api_version,
        "time": manager.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": manager.fields.to_json(),
    });
    if !manager.subresource.is_empty() {
        entry["subresource"] = json!(manager.subresource);
    }
    entry
}

/// Takes out what is not owned by anybody: identity, and what another endpoint writes.
pub(crate) fn strip(resource: &Resource, part: Part, set: &mut FieldSet) {
    set.remove("f:apiVersion");
    set.remove("f:kind");
    let metadata = set.child("f:metadata").clone();
    set.remove("f:metadata");
    if part != Part::Status {
        let mut metadata = metadata;
        for system in [
            "name",
            "namespace",
            "creationTimestamp",
            "deletionTimestamp",
            "deletionGracePeriodSeconds",
            "selfLink",
            "uid",
            "generation",
            "managedFields",
            "resourceVersion",
        ] {
            metadata.remove(&format!("f:{system}"));
        }
        if !metadata.is_empty() {
            *set.child_mut("f:metadata") = metadata;
        }
    }
    match part {
        Part::Status => set.retain(|element| element == "f:status"),
        Part::Main | Part::Scale if resource.has_status => set.remove("f:status"),
        Part::Main | Part::Scale => {}
    }
}

/// The fields that changed, without those that nobody owns.
pub(crate) fn changes(resource: &Resource, part: Part, old: Option<&Value>, new: &Value) -> Comparison {
    let mut comparison = compare(&resource.schema, old, new);
    for set in [&mut comparison.added, &mut comparison.modified, &mut comparison.removed] {
        strip(resource, part, set);
    }
    comparison
}

/// Records an update (create, PUT or patch) in the managed fields of `new`.
pub(crate) fn track(resource: &Resource, old: Option<&Value>, new: &mut Value, part: Part, options: &WriteOptions) {
    // A client may edit the entries, or reset them all with `[{}]`.
    let sent = new["metadata"].get("managedFields").and_then(Value::as_array);
    let is_reset = sent.is_some_and(|entries| entries.len() == 1 && entries[0] == json!({}));
    let mut managers = match sent {
        Some(entries) if !entries.is_empty() => read(new),
        _ => old.map(read).unwrap_or_default(),
    };
    object::meta_mut(new).remove("managedFields");
    if is_reset {
        return;
    }
    let changes = changes(resource, part, old, new);
    let taken = changes.added.union(&changes.modified);
    let me = Manager {
        name: options.manager.clone(),
        applies: false,
        api_version: resource.api_version(),
        subresource: subresource(part),
        time: object::time(options.now),
        fields: FieldSet::default(),
    };
    for manager in managers.iter_mut().filter(|manager| !manager.is(&me)) {
        manager.fields = manager.fields.difference(&taken).difference(&changes.removed);
    }
    match managers.iter_mut().find(|manager| manager.is(&me)) {
        Some(mine) => {
            let fields = mine.fields.difference(&changes.removed).union(&taken);
            if !taken.is_empty() || fields != mine.fields {
                mine.time = me.time;
            }
            mine.fields = fields;
        }
        None => managers.push(Manager { fields: taken, ..me }),
    }
    write(new, managers);
}
