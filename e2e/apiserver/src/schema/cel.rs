//! `x-kubernetes-validations`: CEL rules of a CRD, evaluated by `kube-cel`.

use std::sync::{Arc, Mutex};

use kube_cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::Value;

use crate::field::{FieldError, FieldErrorKind};

/// The compiled rules of one CRD version.
pub(crate) struct Rules {
    compiled: CompiledSchema,
    // `Validator` is `Send` but not `Sync`; rules are evaluated under the server's lock anyway.
    validator: Mutex<Validator>,
    /// The schema's JSON: it knows each rule's `fieldPath`.
    schema: Value,
}

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}

impl Rules {
    /// Compiles every rule in `schema`; the messages say which do not compile, and where.
    pub(crate) fn compile(schema: &Value, path: &str) -> Result<Arc<Self>, Vec<FieldError>> {
        let compiled = compile_schema(schema);
        let mut errors = Vec::new();
        collect_errors(&compiled, path, false, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Arc::new(Self {
            compiled,
            validator: Mutex::new(Validator::new()),
            schema: schema.clone(),
        }))
    }

    /// The rules that `object` breaks; transition rules see `old`.
    pub(crate) fn check(&self, object: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let validator = self.validator.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let Err(broken) = validator.validate_compiled(&self.compiled, object, old) else {
            return Vec::new();
        };
        broken.into_iter().map(|error| self.field_error(&error)).collect()
    }

    fn field_error(&self, error: &kube_cel::ValidationError) -> FieldError {
        // kube-cel has already put the rule's `fieldPath` behind the path of its node.
        let path = error.field_path.clone();
        let message = match error.kind {
            ErrorKind::ValidationFailure => error.message.clone(),
            _ => format!("rule evaluation error: {}", error.message),
        };
        let kind = match error.reason.as_deref() {
            Some("FieldValueForbidden") => FieldErrorKind::Forbidden(message),
            Some("FieldValueRequired") => FieldErrorKind::Required(message),
            Some("FieldValueDuplicate") => FieldErrorKind::Duplicate(self.value_type(&error.rule)),
            _ => FieldErrorKind::Invalid(self.value_type(&error.rule), message),
        };
        FieldError::new(path, kind)
    }

    /// The type of the node that carries `rule`: what the API server shows in place of the value.
    fn value_type(&self, rule: &str) -> Value {
        Value::String(find_rule(&self.schema, rule).unwrap_or("object").to_owned())
    }
}

fn find_rule<'a>(schema: &'a Value, rule: &str) -> Option<&'a str> {
    let here = schema.get("x-kubernetes-validations").and_then(Value::as_array);
    if here.is_some_and(|rules| {
        rules
            .iter()
            .any(|one| one.get("rule").and_then(Value::as_str) == Some(rule))
    }) {
        return schema.get("type").and_then(Value::as_str);
    }
    let properties = schema.get("properties").and_then(Value::as_object);
    properties
        .into_iter()
        .flat_map(|map| map.values())
        .chain(schema.get("items"))
        .chain(schema.get("additionalProperties"))
        .find_map(|child| find_rule(child, rule))
}

/// `in_list` says whether the node is below list items: kube-cel would compare those by position, not by key.
fn collect_errors(node: &CompiledSchema, path: &str, in_list: bool, errors: &mut Vec<FieldError>) {
    for (index, result) in node.validations.iter().enumerate() {
        let at = format!("{path}.x-kubernetes-validations[{index}]");
        match result {
            Err(error) => {
                errors.push(FieldError::invalid(
                    format!("{at}.rule"),
                    "",
                    format!("compilation failed: {error}"),
                ));
            }
            Ok(rule) if rule.rule.optional_old_self == Some(true) => {
                let why = "this API server does not evaluate optional old values";
                errors.push(FieldError::forbidden(format!("{at}.optionalOldSelf"), why));
            }
            Ok(rule) if rule.is_transition_rule && in_list => {
                let why = "this API server does not evaluate oldSelf below the items of a list";
                errors.push(FieldError::forbidden(format!("{at}.rule"), why));
            }
            Ok(_) => {}
        }
    }
    for (name, child) in &node.properties {
        collect_errors(child, &format!("{path}.properties[{name}]"), in_list, errors);
    }
    if let Some(items) = &node.items {
        collect_errors(items, &format!("{path}.items"), true, errors);
    }
    if let Some(values) = &node.additional_properties {
        collect_errors(values, &format!("{path}.additionalProperties"), in_list, errors);
    }
}
