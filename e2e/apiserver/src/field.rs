//! Field errors, worded as `k8s.io/apimachinery/pkg/util/validation/field` words them.

use std::fmt;

use serde_json::{Value, json};

/// One broken rule, and where.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct FieldError {
    /// `spec.ports[0].nodePort`; empty means the whole object and prints as `<nil>`.
    pub(crate) path: String,
    pub(crate) kind: Box<FieldErrorKind>,
}

/// What kind of rule was broken.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum FieldErrorKind {
    Required(String),
    Invalid(Value, String),
    TypeInvalid(Value, String),
    NotSupported(Value, Vec<Value>),
    Duplicate(Value),
    Forbidden(String),
    TooLong(u64),
    TooMany(u64, u64),
}

impl FieldError {
    pub(crate) fn new(path: impl Into<String>, kind: FieldErrorKind) -> Self {
        Self {
            path: path.into(),
            kind: Box::new(kind),
        }
    }

    pub(crate) fn required(path: impl Into<String>, why: &str) -> Self {
        Self::new(path, FieldErrorKind::Required(why.to_owned()))
    }

    pub(crate) fn invalid(path: impl Into<String>, value: impl Into<Value>, why: impl Into<String>) -> Self {
        Self::new(path, FieldErrorKind::Invalid(value.into(), why.into()))
    }

    pub(crate) fn not_supported(path: impl Into<String>, value: impl Into<Value>, supported: &[&str]) -> Self {
        let supported = supported.iter().map(|s| json!(s)).collect();
        Self::new(path, FieldErrorKind::NotSupported(value.into(), supported))
    }

    pub(crate) fn duplicate(path: impl Into<String>, value: impl Into<Value>) -> Self {
        Self::new(path, FieldErrorKind::Duplicate(value.into()))
    }

    pub(crate) fn forbidden(path: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(path, FieldErrorKind::Forbidden(why.into()))
    }

    /// The `reason` of a `StatusCause`.
    pub(crate) fn reason(&self) -> &'static str {
        match *self.kind {
            FieldErrorKind::Required(_) => "FieldValueRequired",
            FieldErrorKind::Invalid(..) => "FieldValueInvalid",
            FieldErrorKind::TypeInvalid(..) => "FieldValueTypeInvalid",
            FieldErrorKind::NotSupported(..) => "FieldValueNotSupported",
            FieldErrorKind::Duplicate(_) => "FieldValueDuplicate",
            FieldErrorKind::Forbidden(_) => "FieldValueForbidden",
            FieldErrorKind::TooLong(_) => "FieldValueTooLong",
            FieldErrorKind::TooMany(..) => "FieldValueTooMany",
        }
    }

    /// Whether CEL rules are left alone on an object that has this error: they could not be evaluated, or not at a bounded
    /// cost (`hasBlockingErr` of apiextensions-apiserver).
    pub(crate) fn blocks_rules(&self) -> bool {
        match *self.kind {
            FieldErrorKind::Required(_)
            | FieldErrorKind::TypeInvalid(..)
            | FieldErrorKind::NotSupported(..)
            | FieldErrorKind::TooLong(_)
            | FieldErrorKind::TooMany(..) => true,
            FieldErrorKind::Invalid(..) | FieldErrorKind::Duplicate(_) | FieldErrorKind::Forbidden(_) => false,
        }
    }

    fn shown_path(&self) -> &str {
        if self.path.is_empty() { "<nil>" } else { &self.path }
    }

    /// The message without the path.
    pub(crate) fn body(&self) -> String {
        match &*self.kind {
            FieldErrorKind::Required(why) => with_detail("Required value".into(), why),
            FieldErrorKind::Invalid(value, why) | FieldErrorKind::TypeInvalid(value, why) => {
                with_detail(format!("Invalid value: {value}"), why)
            }
            FieldErrorKind::NotSupported(value, supported) => {
                let supported: Vec<String> = supported.iter().map(Value::to_string).collect();
                with_detail(
                    format!("Unsupported value: {value}"),
                    &format!("supported values: {}", supported.join(", ")),
                )
            }
            FieldErrorKind::Duplicate(value) => format!("Duplicate value: {value}"),
            FieldErrorKind::Forbidden(why) => with_detail("Forbidden".into(), why),
            FieldErrorKind::TooLong(max) => format!("Too long: may not be more than {max} bytes"),
            FieldErrorKind::TooMany(actual, max) => format!("Too many: {actual}: must have at most {max} items"),
        }
    }

    /// The `StatusCause` of this error.
    pub(crate) fn cause(&self) -> Value {
        json!({"reason": self.reason(), "message": self.body(), "field": self.shown_path()})
    }
}

fn with_detail(head: String, detail: &str) -> String {
    if detail.is_empty() {
        head
    } else {
        format!("{head}: {detail}")
    }
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.shown_path(), self.body())
    }
}

/// `parent.child`, or `child` at the root.
pub(crate) fn join(parent: &str, child: &str) -> String {
    if parent.is_empty() {
        child.to_owned()
    } else {
        format!("{parent}.{child}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_worded_as_the_real_server_words_them() {
        let cases = [
            (FieldError::required("spec", ""), "spec: Required value"),
            (
                FieldError::not_supported("spec.mode", "Foo", &["Strict", "Partial"]),
                r#"spec.mode: Unsupported value: "Foo": supported values: "Strict", "Partial""#,
            ),
            (
                FieldError::duplicate("spec.devices[1]", "eth0"),
                r#"spec.devices[1]: Duplicate value: "eth0""#,
            ),
            (
                FieldError::invalid("", Value::Null, "some validation rules were not checked"),
                "<nil>: Invalid value: null: some validation rules were not checked",
            ),
            (
                FieldError::invalid("spec.port", 70000, "too big"),
                "spec.port: Invalid value: 70000: too big",
            ),
        ];
        for (error, want) in cases {
            assert_eq!(error.to_string(), want);
        }
    }
}
