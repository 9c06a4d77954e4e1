//! Objects as `meta.k8s.io/v1` Tables: what `kubectl get` prints.

mod age;
mod builtin;
mod cells;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::resource::{Columns, PrintColumn, Resource};

/// A column definition.
struct Column {
    name: String,
    kind: &'static str,
    format: String,
    priority: i64,
    description: String,
}

/// Makes a table of objects (as the requested version shows them).
///
/// `version` becomes the table's resourceVersion; `columns` says whether the definitions go along (in a watch only with
/// the first event).
pub(crate) fn table(resource: &Resource, objects: &[Value], version: &str, columns: bool, now: Timestamp) -> Value {
    let rows: Vec<Value> = objects
        .iter()
        .map(|object| json!({"cells": row(resource, object, now), "object": partial(object)}))
        .collect();
    let definitions = columns.then(|| definitions(resource));
    json!({
        "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": version},
        "columnDefinitions": definitions, "rows": rows,
    })
}

fn partial(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

fn row(resource: &Resource, object: &Value, now: Timestamp) -> Vec<Value> {
    match &resource.columns {
        Columns::BuiltIn => builtin::cells(&resource.kind, object, now),
        Columns::Custom(columns) => {
            let mut cells = vec![json!(crate::object::name(object))];
            cells.extend(columns.iter().map(|column| custom_cell(column, object, now)));
            cells
        }
    }
}

fn custom_cell(column: &PrintColumn, object: &Value, now: Timestamp) -> Value {
    let Some(found) = column.path.first(object) else {
        return if column.kind == "date" {
            json!("<unknown>")
        } else {
            Value::Null
        };
    };
    match (column.kind.as_str(), found) {
        ("date", Value::String(time)) => json!(age::since(time, now)),
        ("string", Value::String(_)) | ("integer" | "number", Value::Number(_)) | ("boolean", Value::Bool(_)) => {
            found.clone()
        }
        ("string", other) => json!(other.to_string()),
        _ => Value::Null,
    }
}

fn definitions(resource: &Resource) -> Vec<Value> {
    let columns = match &resource.columns {
        Columns::BuiltIn => builtin::columns(&resource.kind),
        Columns::Custom(columns) => {
            let name = Column::new("Name", "string", 0).with_format("name");
            let own = columns.iter().map(|column| Column {
                name: column.name.clone(),
                kind: match column.kind.as_str() {
                    "integer" => "integer",
                    "number" => "number",
                    "boolean" => "boolean",
                    "date" => "date",
                    _ => "string",
                },
                format: column.format.clone(),
                priority: column.priority,
                description: if column.description.is_empty() {
                    format!("Custom resource definition column from path {}", column.name)
                } else {
                    column.description.clone()
                },
            });
            std::iter::once(name).chain(own).collect()
        }
    };
    columns
        .iter()
        .map(|column| {
            json!({
                "name": column.name, "type": column.kind, "format": column.format,
                "description": column.description, "priority": column.priority,
            })
        })
        .collect()
}

impl Column {
    fn new(name: &str, kind: &'static str, priority: i64) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            format: String::new(),
            priority,
            description: String::new(),
        }
    }

    fn with_format(mut self, format: &str) -> Self {
        format.clone_into(&mut self.format);
        self
    }
}
