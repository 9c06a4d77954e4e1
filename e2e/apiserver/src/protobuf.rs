//! Bodies in `application/vnd.kubernetes.protobuf`.

use serde_json::Value;

use crate::error::{ApiError, Result};

/// The media type.
pub(crate) const CONTENT_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// Decodes an object.
pub(crate) fn decode(_bytes: &[u8]) -> Result<Value> {
    Err(ApiError::unsupported_media_type(&[
        "application/json",
        "application/yaml",
    ]))
}
