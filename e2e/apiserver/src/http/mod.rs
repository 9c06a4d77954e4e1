//! HTTP: from requests to the state, and back.

pub(crate) mod body;
mod duplicates;
pub(crate) mod negotiate;
pub(crate) mod path;
mod query;
mod read;
mod scale;
mod watch;
mod write;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use http::header::{ETAG, HeaderValue, IF_NONE_MATCH, USER_AGENT, VARY};
use http::{HeaderMap, Method, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::error::{ApiError, Result};
use crate::requests::RequestRecord;
use crate::server::Shared;
use crate::{discovery, openapi};
use negotiate::Discovery;
use path::{ResourcePath, Route};
use query::Query;

/// Bodies above this size are refused, as by the real server.
const MAX_BODY: usize = 3 * 1024 * 1024;

/// The service that all listeners and the in-process client share.
///
/// Watches end when `stop` is cancelled: with the listener that they came through.
pub(crate) fn router(shared: Arc<Shared>, stop: CancellationToken) -> axum::Router {
    axum::Router::new().fallback(handle).with_state((shared, stop))
}

async fn handle(
    Extract((shared, stop)): Extract<(Arc<Shared>, CancellationToken)>,
    request: Request<Body>,
) -> Response {
    let (parts, body) = request.into_parts();
    let route = path::parse(parts.uri.path());
    let query = Query::parse(parts.uri.query());
    let Route::Resource(path) = route else {
        return about_server(&shared, &route, &parts.headers);
    };
    if !shared.state().registry.serves(&path.group, &path.version) {
        return not_found();
    }
    let verb = verb(&parts.method, &path, &query);
    let mut record = RequestRecord {
        verb: verb.to_owned(),
        group: path.group.clone(),
        resource: path.plural.clone(),
        subresource: path.subresource.clone(),
        namespace: path.namespace.clone(),
        name: path.name.clone(),
        user_agent: header(&parts.headers, USER_AGENT.as_str()).to_owned(),
        field_manager: query.text("fieldManager").to_owned(),
        code: 0,
    };
    let fault = shared.faults().take(&record);
    if let Some(delay) = fault.as_ref().and_then(|fault| fault.delay) {
        tokio::time::sleep(delay).await;
    }
    let answer = match fault.and_then(|fault| fault.error) {
        Some(error) => Err(error),
        None => match axum::body::to_bytes(body, MAX_BODY).await {
            Ok(bytes) => dispatch(
                &shared,
                stop,
                verb,
                &path,
                &query,
                &parts.headers,
                &bytes,
                &record.user_agent,
            ),
            Err(_) => Err(ApiError::new(
                413,
                "RequestEntityTooLarge",
                "Request entity too large: limit is 3145728",
            )),
        },
    };
    let response = answer.unwrap_or_else(|error| body::refuse(&error));
    record.code = response.status().as_u16();
    shared.requests().push(record);
    response
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The verb of RBAC and audit logs.
fn verb(method: &Method, path: &ResourcePath, query: &Query) -> &'static str {
    match (method.as_str(), path.name.is_empty()) {
        ("GET" | "HEAD", true) if query.flag("watch") => "watch",
        ("GET" | "HEAD", true) => "list",
        ("GET" | "HEAD", false) => "get",
        ("POST", _) => "create",
        ("PUT", _) => "update",
        ("PATCH", _) => "patch",
        ("DELETE", true) => "deletecollection",
        ("DELETE", false) => "delete",
        _ => "unknown",
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of a request")]
fn dispatch(
    shared: &Arc<Shared>,
    stop: CancellationToken,
    verb: &str,
    path: &ResourcePath,
    query: &Query,
    headers: &HeaderMap,
    bytes: &[u8],
    user_agent: &str,
) -> Result<Response> {
    let shape = negotiate::shape(headers)?;
    let now = Timestamp::now();
    let resource = shared.state().resource(&path.group, &path.version, &path.plural)?;
    if resource.namespaced && path.namespace.is_empty() && !matches!(verb, "list" | "watch") {
        return Err(if verb == "create" {
            ApiError::method_not_allowed()
        } else {
            ApiError::no_such_resource()
        });
    }
    if !resource.namespaced && !path.namespace.is_empty() {
        return Err(ApiError::no_such_resource());
    }
    let warnings: Vec<String> = resource.warning.iter().cloned().collect();
    match verb {
        "watch" => watch::watch(shared, stop, resource, path, query, shape),
        "list" => {
            let list = read::list(&shared.state(), &resource, path, query, shape, now)?;
            Ok(body::respond(200, &list, &warnings))
        }
        "get" => {
            let state = shared.state();
            let stored = state.live(&resource, &resource.key(&path.namespace, &path.name))?;
            let object = match path.subresource.as_str() {
                "" => read::shaped(&resource, &stored, shape, now),
                "status" if resource.has_status => read::shaped(&resource, &stored, shape, now),
                "scale" => scale::of(&resource, &stored)?,
                _ => return Err(ApiError::no_such_resource()),
            };
            Ok(body::respond(200, &object, &warnings))
        }
        "create" | "update" | "patch" | "delete" | "deletecollection" => {
            let request = write::Request {
                resource: &resource,
                path,
                query,
                headers,
                bytes,
                user_agent,
                now,
                method: verb,
            };
            let mut answer = write::answer(shared, verb, &request)?;
            answer.warnings.extend(warnings);
            if answer.is_object {
                answer.object = read::shaped(&resource, &answer.object, shape, now);
            }
            Ok(body::respond(answer.code, &answer.object, &answer.warnings))
        }
        _ => Err(ApiError::method_not_allowed()),
    }
}

/// What is not about resources: versions, health, discovery, OpenAPI.
fn about_server(shared: &Shared, route: &Route, headers: &HeaderMap) -> Response {
    let state = shared.state();
    let registry = &state.registry;
    let wanted = negotiate::discovery(headers);
    match route {
        Route::Version => body::respond(200, &discovery::version(), &[]),
        Route::Health => (StatusCode::OK, "ok").into_response(),
        Route::LegacyVersions | Route::Groups if wanted != Discovery::Legacy => {
            let legacy = matches!(route, Route::LegacyVersions);
            aggregated(&discovery::aggregated(registry, legacy, wanted), wanted, headers)
        }
        Route::LegacyVersions => body::respond(200, &discovery::legacy_versions(), &[]),
        Route::Groups => body::respond(200, &discovery::groups(registry), &[]),
        Route::Group(group) => answer(discovery::group(registry, group)),
        Route::Resources(group, version) => answer(discovery::resources(registry, group, version)),
        Route::OpenApiV2 => body::respond_as(200, openapi::v2_protobuf(), openapi::V2_CONTENT_TYPE, &[]),
        Route::OpenApiIndex => body::respond(200, &openapi::index(registry), &[]),
        Route::OpenApi(group, version) => answer(openapi::document(registry, group, version)),
        Route::Resource(_) | Route::Unknown => not_found(),
    }
}

fn answer(object: Option<Value>) -> Response {
    match object {
        Some(object) => body::respond(200, &object, &[]),
        None => not_found(),
    }
}

/// What the path of no group, version or resource gets.
fn not_found() -> Response {
    (StatusCode::NOT_FOUND, "404 page not found\n").into_response()
}

/// Aggregated discovery with its ETag: clients ask again with `If-None-Match`.
fn aggregated(document: &Value, wanted: Discovery, headers: &HeaderMap) -> Response {
    let text = document.to_string();
    let etag = format!("\"{:016X}\"", openapi::digest(&text));
    let mut response = if header(headers, IF_NONE_MATCH.as_str()) == etag {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let kind = match wanted {
            Discovery::AggregatedV2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
            _ => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        };
        body::respond_as(200, text, kind, &[])
    };
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        response.headers_mut().insert(ETAG, etag);
    }
    response.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// `Status` of success, as DELETE answers.
fn success(details: &Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
