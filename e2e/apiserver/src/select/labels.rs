//! `labelSelector`: `a=b`, `a!=b`, `a in (x,y)`, `a notin (x)`, `a`, `!a`.

use serde_json::Value;

use crate::error::{ApiError, Result};
use crate::object;

/// All requirements must hold.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq)]
enum Requirement {
    In(String, Vec<String>),
    NotIn(String, Vec<String>),
    Exists(String),
    Absent(String),
}

impl LabelSelector {
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let requirements = split(text)
            .into_iter()
            .map(|part| requirement(part.trim()).ok_or_else(|| unparsable(text, part)))
            .collect::<Result<_>>()?;
        Ok(Self { requirements })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    pub(crate) fn matches(&self, object: &Value) -> bool {
        let label = |key: &str| object::at(object, &["metadata", "labels", key]).and_then(Value::as_str);
        self.requirements.iter().all(|requirement| match requirement {
            Requirement::In(key, values) => label(key).is_some_and(|value| values.iter().any(|v| v == value)),
            Requirement::NotIn(key, values) => label(key).is_none_or(|value| values.iter().all(|v| v != value)),
            Requirement::Exists(key) => label(key).is_some(),
            Requirement::Absent(key) => label(key).is_none(),
        })
    }
}

fn unparsable(text: &str, part: &str) -> ApiError {
    ApiError::bad_request(format!(
        "unable to parse requirement: found '{part}' in label selector \"{text}\""
    ))
}

/// Splits at commas outside of parentheses.
fn split(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, c) in text.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    if text.trim().is_empty() { Vec::new() } else { parts }
}

fn requirement(part: &str) -> Option<Requirement> {
    if let Some(key) = part.strip_prefix('!') {
        return Some(Requirement::Absent(key_of(key)?));
    }
    if let Some(open) = part.find('(') {
        let values = part[open + 1..]
            .strip_suffix(')')?
            .split(',')
            .map(|v| v.trim().to_owned())
            .collect();
        let (key, operator) = part[..open].trim_end().rsplit_once(char::is_whitespace)?;
        return match operator {
            "in" => Some(Requirement::In(key_of(key)?, values)),
            "notin" => Some(Requirement::NotIn(key_of(key)?, values)),
            _ => None,
        };
    }
    if let Some((key, value)) = part.split_once("!=") {
        return Some(Requirement::NotIn(key_of(key)?, vec![value_of(value)?]));
    }
    if let Some((key, value)) = part.split_once("==").or_else(|| part.split_once('=')) {
        return Some(Requirement::In(key_of(key)?, vec![value_of(value)?]));
    }
    Some(Requirement::Exists(key_of(part)?))
}

fn key_of(text: &str) -> Option<String> {
    let key = text.trim();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    (!key.is_empty() && key.chars().all(fine)).then(|| key.to_owned())
}

fn value_of(text: &str) -> Option<String> {
    let value = text.trim();
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    value.chars().all(fine).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn selectors_choose_by_labels() {
        let web = json!({"metadata": {"labels": {"app": "web", "tier": "front", "kubernetes.io/os": "linux"}}});
        let cases = [
            ("", true),
            ("app=web", true),
            ("app==web", true),
            ("app = web , tier=front", true),
            ("app!=web", false),
            ("absent!=web", true),
            ("app in (db, web)", true),
            ("app notin (db,web)", false),
            ("app notin (db),kubernetes.io/os=linux", true),
            ("tier", true),
            ("!tier", false),
            ("!absent", true),
            ("app=db", false),
            ("absent=", false),
        ];
        for (selector, want) in cases {
            assert_eq!(
                LabelSelector::parse(selector).unwrap().matches(&web),
                want,
                "{selector}"
            );
        }
    }

    #[test]
    fn malformed_selectors_are_refused() {
        for selector in ["app in web", "app within (a)", "a=b=c", "=b", "a b", ","] {
            assert_eq!(LabelSelector::parse(selector).unwrap_err().code, 400, "{selector}");
        }
    }
}
