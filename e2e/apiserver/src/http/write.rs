//! POST, PUT, PATCH and DELETE.

use std::sync::Arc;

use http::HeaderMap;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::body::{self, APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH};
use super::path::ResourcePath;
use super::query::Query;
use super::{duplicates, negotiate, read, scale, success};
use crate::error::{ApiError, Result};
use crate::field::{FieldError, FieldErrorKind};
use crate::object;
use crate::patch;
use crate::resource::{ObjectKey, Resource};
use crate::server::Shared;
use crate::state::State;
use crate::write::{DeleteOptions, Deletion, FieldValidation, Part, Precondition, Propagation, WriteOptions, Written};

/// How long a field manager's name may be, in bytes.
const MAX_MANAGER: usize = 128;

/// A writing request, taken apart.
pub(super) struct Request<'a> {
    pub(super) resource: &'a Resource,
    pub(super) path: &'a ResourcePath,
    pub(super) query: &'a Query,
    pub(super) headers: &'a HeaderMap,
    pub(super) bytes: &'a [u8],
    pub(super) user_agent: &'a str,
    pub(super) now: Timestamp,
    /// The verb of RBAC and audit logs.
    pub(super) method: &'a str,
}

/// What goes back.
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) object: Value,
    /// A stored object of the resource, still to be shaped; otherwise sent as it is.
    pub(super) is_object: bool,
    pub(super) warnings: Vec<String>,
}

impl Answer {
    fn written(written: Written) -> Self {
        let code = if written.created { 201 } else { 200 };
        Self {
            code,
            object: (*written.object).clone(),
            is_object: true,
            warnings: written.warnings,
        }
    }

    fn plain(code: u16, object: Value) -> Self {
        Self {
            code,
            object,
            is_object: false,
            warnings: Vec::new(),
        }
    }
}

/// Carries the request out under the server's lock, and wakes the watches.
pub(super) fn answer(shared: &Arc<Shared>, verb: &str, request: &Request<'_>) -> Result<Answer> {
    let mut state = shared.state();
    let answer = match verb {
        "create" => create(&mut state, request),
        "update" => update(&mut state, request),
        "patch" => patch(&mut state, request),
        "delete" => delete(&mut state, request),
        _ => delete_collection(&mut state, request),
    };
    shared.announce(&state);
    answer
}

fn create(state: &mut State, request: &Request<'_>) -> Result<Answer> {
    let sent = body::object(request.headers, request.bytes)?;
    let duplicates = request.duplicates()?;
    let (resource, path) = (request.resource, request.path);
    let warned = |mut answer: Answer| {
        answer.warnings.splice(0..0, duplicates);
        answer
    };
    match (path.name.as_str(), path.subresource.as_str()) {
        ("", "") => {
            let options = request.options()?;
            state
                .create(resource, &path.namespace, sent, &options)
                .map(Answer::written)
                .map(warned)
        }
        (_, "binding") if resource.is("", "Pod") => bind(state, request, &sent),
        (_, "") => Err(ApiError::method_not_allowed()),
        _ => Err(ApiError::no_such_resource()),
    }
}

/// `pods/binding`: how a scheduler gives a Pod its node.
fn bind(state: &mut State, request: &Request<'_>, binding: &Value) -> Result<Answer> {
    let options = request.options()?;
    let node = object::text(binding, &["target", "name"]);
    if node.is_empty() {
        let error = [FieldError::required("target.name", "")];
        return Err(ApiError::invalid("", "Binding", &request.path.name, &error));
    }
    state.bind_pod(request.resource, &request.key(), node, &options)?;
    Ok(Answer::plain(
        201,
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}),
    ))
}

fn update(state: &mut State, request: &Request<'_>) -> Result<Answer> {
    let sent = body::object(request.headers, request.bytes)?;
    let (resource, path) = (request.resource, request.path);
    let (key, options, part) = (request.key(), request.options()?, request.part()?);
    if path.name.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    if part == Part::Scale {
        let written = state.update(resource, &key, part, Precondition::Patch, &options, |object| {
            scale::applied(resource, object, &sent)
        })?;
        return Ok(Answer::plain(200, scale::of(resource, &written.object)?));
    }
    if part == Part::Main && resource.create_on_update && state.store.get(&key).is_none() {
        return state
            .create(resource, &path.namespace, sent, &options)
            .map(Answer::written);
    }
    let duplicates = request.duplicates()?;
    let mut written = state.update(resource, &key, part, Precondition::Put, &options, |_| Ok(sent))?;
    written.warnings.splice(0..0, duplicates);
    Ok(Answer::written(written))
}

fn patch(state: &mut State, request: &Request<'_>) -> Result<Answer> {
    let resource = request.resource;
    let kind = negotiate::content_type(request.headers);
    if request.path.name.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let accepted: &[&str] = if resource.is_builtin {
        &[JSON_PATCH, MERGE_PATCH, APPLY_PATCH, STRATEGIC_PATCH]
    } else {
        &[JSON_PATCH, MERGE_PATCH, APPLY_PATCH]
    };
    if !accepted.contains(&kind) {
        return Err(ApiError::unsupported_media_type(accepted));
    }
    let (key, options, part) = (request.key(), request.options()?, request.part()?);
    if kind == APPLY_PATCH {
        let applied = body::yaml(request.bytes)?;
        let force = request.query.flag("force");
        if part == Part::Scale {
            return Err(ApiError::not_implemented("server-side apply of the scale subresource"));
        }
        return state
            .apply(resource, &key, part, &applied, force, &options)
            .map(Answer::written);
    }
    let patch = body::json(request.bytes)?;
    let patched = |object: &Value| -> Result<Value> {
        let mut object = object.clone();
        match kind {
            JSON_PATCH => patch::json::apply(&mut object, &patch)?,
            MERGE_PATCH => patch::merge::apply(&mut object, &patch),
            _ => patch::strategic::apply(&resource.schema, &mut object, &patch)?,
        }
        Ok(object)
    };
    if part == Part::Scale {
        let written = state.update(resource, &key, part, Precondition::Patch, &options, |object| {
            let mut scaled = scale::of(resource, object)?;
            match kind {
                JSON_PATCH => patch::json::apply(&mut scaled, &patch)?,
                _ => patch::merge::apply(&mut scaled, &patch),
            }
            scale::applied(resource, object, &scaled)
        })?;
        return Ok(Answer::plain(200, scale::of(resource, &written.object)?));
    }
    state
        .update(resource, &key, part, Precondition::Patch, &options, patched)
        .map(Answer::written)
}

fn delete(state: &mut State, request: &Request<'_>) -> Result<Answer> {
    if !request.path.subresource.is_empty() {
        return Err(ApiError::method_not_allowed());
    }
    let options = request.delete_options()?;
    let resource = request.resource;
    match state.delete(resource, &request.key(), &options, request.now)? {
        Deletion::Pending(object) => Ok(Answer {
            code: 200,
            object: (*object).clone(),
            is_object: true,
            warnings: Vec::new(),
        }),
        Deletion::Done(object) if returns_deleted(resource) => Ok(Answer {
            code: 200,
            object: (*object).clone(),
            is_object: true,
            warnings: Vec::new(),
        }),
        Deletion::Done(object) => {
            let mut details =
                json!({"name": object::name(&object), "kind": resource.plural, "uid": object::uid(&object)});
            if !resource.group.is_empty() {
                details["group"] = json!(resource.group);
            }
            Ok(Answer::plain(200, success(&details)))
        }
    }
}

/// Kinds whose DELETE answers with the object (`ReturnDeletedObject` in their storage).
fn returns_deleted(resource: &Resource) -> bool {
    ["Pod", "Service", "ServiceAccount"]
        .iter()
        .any(|kind| resource.is("", kind))
}

fn delete_collection(state: &mut State, request: &Request<'_>) -> Result<Answer> {
    let resource = request.resource;
    let selection = read::selection(resource, request.path, request.query)?;
    let options = request.delete_options()?;
    let chosen: Vec<Arc<Value>> = state
        .store
        .objects(&resource.storage)
        .filter(|object| selection.matches(object))
        .cloned()
        .collect();
    for object in &chosen {
        let key = resource.key(object::namespace(object), object::name(object));
        // One deletion may already have taken another along.
        if state.store.get(&key).is_some() {
            state.delete(resource, &key, &options, request.now)?;
        }
    }
    let items: Vec<Value> = chosen
        .iter()
        .map(|object| read::item(resource, object, negotiate::Shape::Object))
        .collect();
    let metadata = json!({"resourceVersion": state.store.revision().to_string()});
    let list = json!({
        "kind": resource.list_kind, "apiVersion": resource.api_version(), "metadata": metadata, "items": items,
    });
    Ok(Answer::plain(200, list))
}

impl Request<'_> {
    fn key(&self) -> ObjectKey {
        self.resource.key(&self.path.namespace, &self.path.name)
    }

    fn part(&self) -> Result<Part> {
        match self.path.subresource.as_str() {
            "" => Ok(Part::Main),
            "status" if self.resource.has_status => Ok(Part::Status),
            "scale" if self.resource.scale.is_some() => Ok(Part::Scale),
            _ => Err(ApiError::no_such_resource()),
        }
    }

    fn options(&self) -> Result<WriteOptions> {
        let named = self.query.text("fieldManager");
        let agent = self.user_agent.split('/').next().unwrap_or_default();
        let manager = [named, agent]
            .into_iter()
            .find(|name| !name.is_empty())
            .unwrap_or("unknown");
        if named.len() > MAX_MANAGER {
            let error = [FieldError::new(
                "fieldManager",
                FieldErrorKind::TooLong(MAX_MANAGER as u64),
            )];
            return Err(ApiError::invalid("meta.k8s.io", self.options_kind(), "", &error));
        }
        Ok(WriteOptions {
            now: self.now,
            manager: manager.to_owned(),
            manager_is_named: !named.is_empty(),
            dry_run: self.query.dry_run(self.options_kind())?,
            validation: self.query.field_validation(self.options_kind())?,
        })
    }

    /// The kind of options that the parameters of this request are.
    fn options_kind(&self) -> &'static str {
        match self.method {
            "create" => "CreateOptions",
            "update" => "UpdateOptions",
            "patch" => "PatchOptions",
            _ => "DeleteOptions",
        }
    }

    /// Words on fields that the body has twice; a refusal if the client wants strict validation.
    fn duplicates(&self) -> Result<Vec<String>> {
        let validation = self.query.field_validation(self.options_kind())?;
        let is_json = matches!(negotiate::content_type(self.headers), "" | "application/json");
        if validation == FieldValidation::Ignore || !is_json {
            return Ok(Vec::new());
        }
        let found = duplicates::find(self.bytes);
        let words: Vec<String> = found.iter().map(|path| format!("duplicate field \"{path}\"")).collect();
        if validation == FieldValidation::Strict && !words.is_empty() {
            let (kind, version) = (&self.resource.kind, &self.resource.version);
            return Err(ApiError::bad_request(format!(
                "{kind} in version \"{version}\" cannot be handled as a {kind}: strict decoding error: {}",
                words.join(", ")
            )));
        }
        Ok(words)
    }

    fn delete_options(&self) -> Result<DeleteOptions> {
        let body = if self.bytes.is_empty() {
            json!({})
        } else {
            body::object(self.headers, self.bytes)?
        };
        let policy = match object::text(&body, &["propagationPolicy"]) {
            "" => self.query.text("propagationPolicy"),
            policy => policy,
        };
        let propagation = match policy {
            "" | "Background" if body["orphanDependents"] == true => Propagation::Orphan,
            "" | "Background" => Propagation::Background,
            "Foreground" => Propagation::Foreground,
            "Orphan" => Propagation::Orphan,
            other => {
                let error = [FieldError::not_supported(
                    "propagationPolicy",
                    other,
                    &["Foreground", "Background", "Orphan"],
                )];
                return Err(ApiError::invalid("meta.k8s.io", "DeleteOptions", "", &error));
            }
        };
        let grace = match self.query.number("gracePeriodSeconds")? {
            Some(seconds) => i64::try_from(seconds).ok(),
            None => body["gracePeriodSeconds"].as_i64(),
        };
        let dry_run = self.query.dry_run(self.options_kind())? || !object::list(&body, &["dryRun"]).is_empty();
        let text = |field: &str| {
            object::at(&body, &["preconditions", field])
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        Ok(DeleteOptions {
            propagation,
            grace_seconds: grace,
            uid: text("uid"),
            resource_version: text("resourceVersion"),
            dry_run,
        })
    }
}
