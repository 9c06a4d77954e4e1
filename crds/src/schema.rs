//! Schema helpers for what schemars' derive can't say in the dialect of Kubernetes.

use schemars::{Schema, SchemaGenerator, json_schema};

/// An integer from `MIN` to `MAX`, both included.
///
/// schemars gives unsigned integers the formats `uint32` and `uint64`, which Kubernetes does not know and warns of.
pub(crate) fn int<const MIN: i64, const MAX: i64>(_: &mut SchemaGenerator) -> Schema {
    let format = if MAX > i64::from(i32::MAX) { "int64" } else { "int32" };
    json_schema!({ "type": "integer", "format": format, "minimum": MIN, "maximum": MAX })
}

/// A count of things, from 0, that fits into a `u32`.
pub(crate) fn count(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int64", "minimum": 0 })
}
