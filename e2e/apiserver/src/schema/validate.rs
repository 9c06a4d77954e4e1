//! Values against a structural schema, with the messages of kube-openapi's validator.

use serde_json::Value;

use super::{Checks, ListType, Schema, Type, format};
use crate::field::{FieldError, FieldErrorKind, join};

/// Every rule of `schema` that `value` breaks.
pub(crate) fn validate(schema: &Schema, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    Walk {
        errors: &mut errors,
        required: true,
    }
    .node(schema, value, path);
    errors
}

/// Only the types: what a typed decoder of a built-in kind would refuse.
pub(crate) fn validate_types(schema: &Schema, value: &Value, path: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    Walk {
        errors: &mut errors,
        required: false,
    }
    .node(schema, value, path);
    errors
}

struct Walk<'a> {
    errors: &'a mut Vec<FieldError>,
    /// Whether rules beside the type count.
    required: bool,
}

impl Walk<'_> {
    fn node(&mut self, schema: &Schema, value: &Value, path: &str) {
        if value.is_null() {
            if !schema.nullable && self.required && schema.kind.is_some() {
                self.wrong_type(schema, value, path);
            }
            return;
        }
        if !has_type(schema, value) {
            self.wrong_type(schema, value, path);
            return;
        }
        if self.required {
            self.checks(&schema.checks, value, path);
        }
        match value {
            Value::Object(map) => {
                for (key, child) in map {
                    if let Some(child_schema) = schema.field(key) {
                        self.node(child_schema, child, &join(path, key));
                    }
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.node(schema.item(), item, &format!("{path}[{index}]"));
                }
                if self.required {
                    self.list_type(schema, items, path);
                }
            }
            _ => {}
        }
    }

    fn push(&mut self, path: &str, kind: FieldErrorKind) {
        self.errors.push(FieldError::new(path, kind));
    }

    fn invalid(&mut self, path: &str, value: &Value, why: &str) {
        self.push(
            path,
            FieldErrorKind::Invalid(shown(value), format!("{path} in body {why}")),
        );
    }

    fn wrong_type(&mut self, schema: &Schema, value: &Value, path: &str) {
        let want = if schema.int_or_string {
            "integer,string"
        } else {
            schema.kind.map_or("object", Type::name)
        };
        let got = type_name(value);
        let why = format!("{path} in body must be of type {want}: \"{got}\"");
        self.push(path, FieldErrorKind::TypeInvalid(got.into(), why));
    }

    fn checks(&mut self, checks: &Checks, value: &Value, path: &str) {
        if let Some(allowed) = &checks.allowed
            && !allowed.iter().any(|one| same(one, value))
        {
            self.push(path, FieldErrorKind::NotSupported(value.clone(), allowed.clone()));
        }
        match value {
            Value::String(text) => self.string(checks, text, value, path),
            Value::Number(number) => self.number(checks, number.as_f64().unwrap_or_default(), value, path),
            Value::Array(items) => self.array(checks, items, value, path),
            Value::Object(map) => {
                for field in &checks.required {
                    if !map.contains_key(field) {
                        self.errors.push(FieldError::required(join(path, field), ""));
                    }
                }
                let count = map.len() as u64;
                if let Some(min) = checks.min_properties.filter(|min| count < *min) {
                    self.invalid(path, &count.into(), &format!("should have at least {min} properties"));
                }
                if let Some(max) = checks.max_properties.filter(|max| count > *max) {
                    self.push(path, FieldErrorKind::TooMany(count, max));
                }
            }
            _ => {}
        }
        self.branches(checks, value, path);
    }

    fn string(&mut self, checks: &Checks, text: &str, value: &Value, path: &str) {
        let length = text.chars().count() as u64;
        if let Some(max) = checks.max_length.filter(|max| length > *max) {
            self.push(path, FieldErrorKind::TooLong(max));
        }
        if let Some(min) = checks.min_length.filter(|min| length < *min) {
            self.invalid(path, value, &format!("should be at least {min} chars long"));
        }
        if let Some(pattern) = &checks.pattern
            && !pattern.is_match(text)
        {
            self.invalid(path, value, &format!("should match '{pattern}'"));
        }
        if let Some(format) = &checks.format
            && !format::matches(format, text)
        {
            self.invalid(path, value, &format!("must be of type {format}: {value}"));
        }
    }

    fn number(&mut self, checks: &Checks, number: f64, value: &Value, path: &str) {
        if let Some(max) = checks.maximum {
            if max.exclusive && number >= max.value {
                self.invalid(path, value, &format!("should be less than {}", max.value));
            } else if number > max.value {
                self.invalid(path, value, &format!("should be less than or equal to {}", max.value));
            }
        }
        if let Some(min) = checks.minimum {
            if min.exclusive && number <= min.value {
                self.invalid(path, value, &format!("should be greater than {}", min.value));
            } else if number < min.value {
                self.invalid(
                    path,
                    value,
                    &format!("should be greater than or equal to {}", min.value),
                );
            }
        }
        if let Some(step) = checks.multiple_of
            && (number / step).fract() != 0.0
        {
            self.invalid(path, value, &format!("should be a multiple of {step}"));
        }
        // As the real server, only the width of int32 counts; unsigned formats come with a minimum.
        let is_int32 = (f64::from(i32::MIN)..=f64::from(i32::MAX)).contains(&number);
        if checks.format.as_deref() == Some("int32") && !is_int32 {
            self.invalid(path, value, &format!("must be of type int32: \"{value}\""));
        }
    }

    fn array(&mut self, checks: &Checks, items: &[Value], value: &Value, path: &str) {
        let count = items.len() as u64;
        if let Some(max) = checks.max_items.filter(|max| count > *max) {
            self.push(path, FieldErrorKind::TooMany(count, max));
        }
        if let Some(min) = checks.min_items.filter(|min| count < *min) {
            self.invalid(path, &count.into(), &format!("should have at least {min} items"));
        }
        if checks.unique_items && items.iter().enumerate().any(|(i, item)| items[..i].contains(item)) {
            self.invalid(path, value, "shouldn't contain duplicates");
        }
    }

    fn list_type(&mut self, schema: &Schema, items: &[Value], path: &str) {
        let keys: Vec<Value> = match &schema.list {
            ListType::Atomic => return,
            ListType::Set => items.to_vec(),
            ListType::Map(names) => items
                .iter()
                .map(|item| {
                    let key = names
                        .iter()
                        .filter_map(|name| Some((name.clone(), key_of(schema.item(), item, name)?)));
                    Value::Object(key.collect())
                })
                .collect(),
        };
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].contains(key) {
                self.push(&format!("{path}[{index}]"), FieldErrorKind::Duplicate(key.clone()));
            }
        }
    }

    fn branches(&mut self, checks: &Checks, value: &Value, path: &str) {
        for branch in &checks.all_of {
            self.node(branch, value, path);
        }
        if !checks.any_of.is_empty()
            && !checks
                .any_of
                .iter()
                .any(|branch| validate(branch, value, path).is_empty())
        {
            self.invalid(path, value, "must validate at least one schema (anyOf)");
        }
        if !checks.one_of.is_empty() {
            let valid = checks
                .one_of
                .iter()
                .filter(|branch| validate(branch, value, path).is_empty())
                .count();
            if valid != 1 {
                let found = if valid == 0 {
                    "Found none valid".to_owned()
                } else {
                    format!("Found {valid} valid alternatives")
                };
                self.invalid(
                    path,
                    value,
                    &format!("must validate one and only one schema (oneOf). {found}"),
                );
            }
        }
        if let Some(not) = &checks.not
            && validate(not, value, path).is_empty()
        {
            self.invalid(path, value, "must not validate the schema (not)");
        }
    }
}

/// The value of a list-map key in `item`, or the key's default.
fn key_of(schema: &Schema, item: &Value, key: &str) -> Option<Value> {
    item.get(key)
        .cloned()
        .or_else(|| schema.properties.get(key)?.default.clone())
}

fn has_type(schema: &Schema, value: &Value) -> bool {
    if schema.int_or_string {
        return value.is_string() || value.is_i64() || value.is_u64() || value.is_f64();
    }
    match schema.kind {
        None => true,
        Some(Type::Object) => value.is_object(),
        Some(Type::Array) => value.is_array(),
        Some(Type::String) => value.is_string(),
        Some(Type::Boolean) => value.is_boolean(),
        Some(Type::Number) => value.is_number(),
        Some(Type::Integer) => {
            value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
        }
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// Containers are named by their type in messages, scalars are shown.
fn shown(value: &Value) -> Value {
    match value {
        Value::Object(_) => Value::String("object".into()),
        Value::Array(_) => Value::String("array".into()),
        scalar => scalar.clone(),
    }
}

fn same(a: &Value, b: &Value) -> bool {
    a == b || matches!((a.as_f64(), b.as_f64()), (Some(a), Some(b)) if (a - b).abs() == 0.0)
}
