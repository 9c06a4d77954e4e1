//! Reading request bodies, and making responses.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue, WARNING};
use http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::negotiate;
use crate::error::{ApiError, Result};

/// The media types of patches.
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// Parses a body in JSON or YAML, as its content type says; no content type means JSON.
pub(crate) fn object(headers: &HeaderMap, bytes: &[u8]) -> Result<Value> {
    match negotiate::content_type(headers) {
        "" | "application/json" => json(bytes),
        "application/yaml" => yaml(bytes),
        crate::protobuf::CONTENT_TYPE => crate::protobuf::decode(bytes),
        _ => Err(ApiError::unsupported_media_type(&[
            "application/json",
            "application/yaml",
        ])),
    }
}

pub(crate) fn json(bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes)
        .map_err(|error| ApiError::bad_request(format!("couldn't get version/kind; json parse error: {error}")))
}

pub(crate) fn yaml(bytes: &[u8]) -> Result<Value> {
    let text = std::str::from_utf8(bytes).map_err(|error| ApiError::bad_request(error.to_string()))?;
    serde_saphyr::from_str(text)
        .map_err(|error| ApiError::bad_request(format!("error decoding YAML: error converting YAML to JSON: {error}")))
}

/// A JSON response.
pub(crate) fn respond(code: u16, object: &Value, warnings: &[String]) -> Response {
    respond_as(code, object.to_string(), "application/json", warnings)
}

/// A response with a given content type.
pub(crate) fn respond_as(code: u16, body: impl Into<Body>, kind: &'static str, warnings: &[String]) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_str(&format!("299 - {warning:?}")) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

/// The `Status` of an error.
pub(crate) fn refuse(error: &ApiError) -> Response {
    respond(error.code, &error.status(), &[])
}
