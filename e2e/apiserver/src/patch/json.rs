//! JSON patch (RFC 6902), as the Go library of the API server understands it.

use json_patch::{Patch, PatchErrorKind, PatchOperation};
use serde_json::Value;

use crate::error::{ApiError, Result};

/// Applies the operations in `patch` to `target`.
///
/// One difference to the RFC: `test` of null on an absent path succeeds (clients add the first finalizer that way).
pub(crate) fn apply(target: &mut Value, patch: &Value) -> Result<()> {
    let patch: Patch = serde_json::from_value(patch.clone())
        .map_err(|error| ApiError::bad_request(format!("error decoding patch: {error}")))?;
    if patch.0.len() > 10_000 {
        let words = "The allowed maximum operations in a JSON patch is 10000";
        return Err(ApiError::new(413, "RequestEntityTooLarge", words));
    }
    for operation in &patch.0 {
        if let PatchOperation::Test(test) = operation
            && test.value.is_null()
            && target.pointer(test.path.as_str()).is_none()
        {
            continue;
        }
        json_patch::patch(target, std::slice::from_ref(operation)).map_err(|error| refused(&error.kind, operation))?;
    }
    Ok(())
}

fn refused(kind: &PatchErrorKind, operation: &PatchOperation) -> ApiError {
    let mut error = ApiError::new(
        422,
        "Invalid",
        "the server rejected our request due to an error in our request",
    );
    let why = match kind {
        PatchErrorKind::TestFailed => format!("testing value {} failed", operation.path()),
        other => format!("{other}: {}", operation.path()),
    };
    error.details = serde_json::json!({"causes": [{"reason": "UnexpectedServerResponse", "message": why}]});
    error
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_test_for_null_succeeds_on_an_absent_path() {
        let mut object = json!({"metadata": {"name": "a"}});
        let add_finalizer = json!([
            {"op": "test", "path": "/metadata/finalizers", "value": null},
            {"op": "add", "path": "/metadata/finalizers", "value": ["kpr.dev/datapath"]},
        ]);
        apply(&mut object, &add_finalizer).unwrap();
        assert_eq!(object["metadata"]["finalizers"], json!(["kpr.dev/datapath"]));
        assert_eq!(apply(&mut object, &add_finalizer).unwrap_err().code, 422);
    }

    #[test]
    fn a_failing_operation_is_refused() {
        for patch in [
            json!([{"op": "remove", "path": "/absent"}]),
            json!([{"op": "replace", "path": "/absent/deeper", "value": 1}]),
            json!([{"op": "test", "path": "/a", "value": 2}]),
        ] {
            let error = apply(&mut json!({"a": 1}), &patch).unwrap_err();
            assert_eq!(
                (error.code, error.message.as_str()),
                (422, "the server rejected our request due to an error in our request")
            );
        }
    }
}
