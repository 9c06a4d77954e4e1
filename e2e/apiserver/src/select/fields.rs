//! `fieldSelector`: `metadata.name=a,spec.nodeName!=b`.

use serde_json::Value;

use crate::error::{ApiError, Result};
use crate::jsonpath::JsonPath;
use crate::object;
use crate::resource::Resource;

/// All terms must hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct FieldSelector {
    terms: Vec<Term>,
}

#[derive(Debug, Clone)]
struct Term {
    field: Field,
    equals: bool,
    value: String,
}

#[derive(Debug, Clone)]
enum Field {
    Name,
    Namespace,
    Path(JsonPath),
    /// A boolean that is false when absent.
    Flag(JsonPath),
}

impl FieldSelector {
    /// Parses `text`; only the labels that `resource` knows are selectable.
    pub(crate) fn parse(text: &str, resource: &Resource) -> Result<Self> {
        let mut terms = Vec::new();
        for part in split(text) {
            let (label, equals, value) = operator(&part).ok_or_else(|| {
                ApiError::bad_request(format!("invalid field selector: {part}; can't understand '{part}'"))
            })?;
            terms.push(Term {
                field: field(label, resource)?,
                equals,
                value: unescape(value),
            });
        }
        Ok(Self { terms })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.terms.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.terms
            .iter()
            .all(|term| (term.field.read(object) == term.value) == term.equals)
    }
}

impl Field {
    fn read(&self, object: &Value) -> String {
        match self {
            Field::Name => object::name(object).to_owned(),
            Field::Namespace => object::namespace(object).to_owned(),
            Field::Path(path) => path.first(object).map(show).unwrap_or_default(),
            Field::Flag(path) => path.first(object).map_or_else(|| "false".to_owned(), show),
        }
    }
}

fn show(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn field(label: &str, resource: &Resource) -> Result<Field> {
    match label {
        "metadata.name" => return Ok(Field::Name),
        "metadata.namespace" if resource.namespaced => return Ok(Field::Namespace),
        _ => {}
    }
    let known = resource.selectable.iter().find(|(known, _)| known == label);
    match known {
        Some((label, path)) if label == "spec.unschedulable" || label == "spec.hostNetwork" => {
            Ok(Field::Flag(path.clone()))
        }
        Some((_, path)) => Ok(Field::Path(path.clone())),
        None => {
            let message = if resource.is_builtin {
                format!("\"{label}\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
            } else {
                format!("field label not supported: {label}")
            };
            Err(ApiError::bad_request(message))
        }
    }
}

/// Splits at commas that no backslash escapes.
fn split(text: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut escaped = false;
    for c in text.chars() {
        if c == ',' && !escaped {
            parts.push(String::new());
        } else if let Some(part) = parts.last_mut() {
            part.push(c);
        }
        escaped = c == '\\' && !escaped;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn operator(part: &str) -> Option<(&str, bool, &str)> {
    let at = part.find(['=', '!'])?;
    let (label, rest) = part.split_at(at);
    let (equals, value) = if let Some(value) = rest.strip_prefix("!=") {
        (false, value)
    } else {
        (true, rest.strip_prefix("==").or_else(|| rest.strip_prefix('='))?)
    };
    Some((label, equals, value))
}

fn unescape(value: &str) -> String {
    let mut plain = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        plain.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pods() -> Resource {
        crate::resource::builtin::resources()
            .into_iter()
            .find(|r| r.kind == "Pod")
            .unwrap()
    }

    #[test]
    fn selectors_choose_by_fields() {
        let pod = json!({"metadata": {"name": "web", "namespace": "default"}, "spec": {"nodeName": "node-a"}, "status": {"phase": "Running"}});
        let cases = [
            ("metadata.name=web", true),
            ("metadata.name==web,spec.nodeName=node-a", true),
            ("spec.nodeName!=node-a", false),
            ("status.phase=Running,metadata.namespace=default", true),
            ("spec.hostNetwork=false", true),
            ("status.podIP=", true),
            (r"metadata.name=a\,b", false),
        ];
        for (selector, want) in cases {
            assert_eq!(
                FieldSelector::parse(selector, &pods()).unwrap().matches(&pod),
                want,
                "{selector}"
            );
        }
    }

    #[test]
    fn fields_that_are_not_selectable_are_refused() {
        for selector in ["spec.foo=1", "nonsense"] {
            assert_eq!(
                FieldSelector::parse(selector, &pods()).unwrap_err().code,
                400,
                "{selector}"
            );
        }
    }
}
