//! GET: single objects and lists.

use std::sync::Arc;

use serde_json::{Value, json};

use super::negotiate::Shape;
use super::path::ResourcePath;
use super::query::Query;
use crate::error::{ApiError, Result};
use crate::object;
use crate::resource::Resource;
use crate::select::{FieldSelector, LabelSelector, Selection};
use crate::state::State;
use crate::store::Objects;
use crate::table;

/// The selection that a request's path and parameters make.
pub(crate) fn selection(resource: &Resource, path: &ResourcePath, query: &Query) -> Result<Selection> {
    Ok(Selection {
        namespace: path.namespace.clone(),
        labels: LabelSelector::parse(query.text("labelSelector"))?,
        fields: FieldSelector::parse(query.text("fieldSelector"), resource)?,
    })
}

/// A stored object in the shape that the client wants.
pub(crate) fn shaped(resource: &Resource, stored: &Value, shape: Shape, now: jiff::Timestamp) -> Value {
    match shape {
        Shape::Object => resource.project(stored),
        Shape::Metadata => metadata_only(&resource.project(stored)),
        Shape::Table => {
            let objects = [resource.project(stored)];
            table::table(
                resource,
                &objects,
                object::text(stored, &["metadata", "resourceVersion"]),
                true,
                now,
            )
        }
    }
}

/// `PartialObjectMetadata` of an object.
pub(crate) fn metadata_only(object: &Value) -> Value {
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": object["metadata"]})
}

/// Answers a list request.
pub(crate) fn list(
    state: &State,
    resource: &Resource,
    path: &ResourcePath,
    query: &Query,
    shape: Shape,
    now: jiff::Timestamp,
) -> Result<Value> {
    let selection = selection(resource, path, query)?;
    let page = Page::of(state, resource, query)?;
    let limit = query
        .number("limit")?
        .filter(|limit| *limit > 0)
        .map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX));
    let mut chosen = page
        .objects
        .iter()
        .filter(|(at, _)| page.after.as_ref().is_none_or(|after| *at > after))
        .filter(|(_, object)| selection.matches(object));
    let items: Vec<(&(String, String), &Arc<Value>)> = chosen.by_ref().take(limit).collect();
    let remaining = chosen.count();
    let mut meta = json!({"resourceVersion": page.revision.to_string()});
    if remaining > 0
        && let Some((last, _)) = items.last()
    {
        meta["continue"] = json!(token(page.revision, last));
        if !selection.is_narrowed() {
            meta["remainingItemCount"] = json!(remaining);
        }
    }
    let objects: Vec<Value> = items
        .into_iter()
        .map(|(_, object)| item(resource, object, shape))
        .collect();
    Ok(match shape {
        Shape::Object => json!({
            "kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": meta, "items": objects,
        }),
        Shape::Metadata => json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": meta,
            "items": objects.iter().map(metadata_only).collect::<Vec<_>>(),
        }),
        Shape::Table => {
            let mut table = table::table(resource, &objects, "", true, now);
            table["metadata"] = meta;
            table
        }
    })
}

/// One object of a list. Those of built-in kinds do not say what they are: the list does.
pub(super) fn item(resource: &Resource, object: &Value, shape: Shape) -> Value {
    let mut item = resource.project(object);
    if resource.is_builtin && shape == Shape::Object {
        let fields = object::map_mut(&mut item);
        fields.shift_remove("apiVersion");
        fields.shift_remove("kind");
    }
    item
}

/// The state that a list reads, and where in it the page begins.
struct Page {
    revision: u64,
    objects: Objects,
    after: Option<(String, String)>,
}

impl Page {
    fn of(state: &State, resource: &Resource, query: &Query) -> Result<Self> {
        let current = state.store.revision();
        let continued = query.text("continue");
        let (revision, after) = if continued.is_empty() {
            (exact_revision(query, current)?.unwrap_or(current), None)
        } else {
            if !matches!(query.text("resourceVersion"), "" | "0") {
                return Err(ApiError::bad_request(
                    "specifying resource version is not allowed when using continue",
                ));
            }
            let (revision, after) = parse_token(continued)
                .ok_or_else(|| ApiError::bad_request("continue key is not valid: invalid continue token"))?;
            (revision, Some(after))
        };
        let objects = state.store.snapshot(&resource.storage, revision).ok_or_else(|| {
            let words = if continued.is_empty() {
                "The resourceVersion for the provided list is too old."
            } else {
                "The provided continue parameter is too old to display a consistent list result. \
                 You must start a new list without the continue parameter."
            };
            ApiError::expired(words)
        })?;
        Ok(Self {
            revision,
            objects,
            after,
        })
    }
}

/// The revision that `resourceVersion` with `resourceVersionMatch=Exact` pins, if any.
fn exact_revision(query: &Query, current: u64) -> Result<Option<u64>> {
    let matching = query.text("resourceVersionMatch");
    let asked = match query.text("resourceVersion") {
        "" => None,
        text => Some(text.parse::<u64>().map_err(|_| {
            ApiError::bad_request(format!(
                "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })?),
    };
    match (matching, asked) {
        ("" | "NotOlderThan" | "Exact", Some(asked)) if asked > current => {
            Err(ApiError::too_large_resource_version(asked, current))
        }
        ("", _) | ("NotOlderThan", Some(_)) => Ok(None),
        ("Exact", Some(asked)) if asked > 0 => Ok(Some(asked)),
        _ => Err(ApiError::bad_request(
            "resourceVersionMatch is forbidden unless resourceVersion is provided, and must be Exact or NotOlderThan",
        )),
    }
}

fn token(revision: u64, (namespace, name): &(String, String)) -> String {
    crate::base64::encode(
        json!({"rv": revision, "ns": namespace, "name": name})
            .to_string()
            .as_bytes(),
    )
}

fn parse_token(token: &str) -> Option<(u64, (String, String))> {
    let json: Value = serde_json::from_slice(&crate::base64::decode(token)?).ok()?;
    Some((
        json["rv"].as_u64()?,
        (json["ns"].as_str()?.to_owned(), json["name"].as_str()?.to_owned()),
    ))
}
