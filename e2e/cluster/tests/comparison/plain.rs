//! Taking out of an answer what no two servers have in common: UIDs, versions, times, tokens, random names. Pure.

use std::collections::BTreeMap;

use regex::Regex;
use serde_json::Value;

/// How the volume of a pod's token is called, before five random letters.
const TOKEN_VOLUME: &str = "kube-api-access-";

/// Gives each UID of an answer a number, in the order of the fields' names.
pub(crate) struct Plain {
    uids: BTreeMap<String, usize>,
    uid: Regex,
    time: Regex,
    version: Regex,
    age: Regex,
}

impl Default for Plain {
    fn default() -> Self {
        let regex = |pattern| Regex::new(pattern).expect("a valid pattern");
        Self {
            uids: BTreeMap::new(),
            uid: regex("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
            time: regex(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"),
            version: regex(r"(?i)(resource ?version:? |current: |\()\d+"),
            age: regex(r"^(\d+[smh])+$"),
        }
    }
}

impl Plain {
    /// Strips an answer, and numbers its UIDs.
    pub(crate) fn strip(&mut self, value: &mut Value) {
        self.uids.clear();
        self.strip_field("", value);
    }

    fn strip_field(&mut self, field: &str, value: &mut Value) {
        match value {
            Value::String(text) => {
                let plain = self.text(field, text);
                *text = plain;
            }
            Value::Array(items) => {
                if field == "causes" {
                    // The real server finds them in the order of a map of Go's, which is another one each time.
                    items.sort_by_cached_key(|cause| {
                        ["field", "reason", "message"].map(|field| cause[field].to_string())
                    });
                }
                for item in items {
                    self.strip_field(field, item);
                }
            }
            Value::Object(fields) => {
                if fields.get("generateName").is_some_and(Value::is_string) && fields.contains_key("name") {
                    fields.insert("name".to_owned(), "<generated>".into());
                }
                fields.sort_keys();
                fields
                    .iter_mut()
                    .for_each(|(name, value)| self.strip_field(name, value));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn text(&mut self, field: &str, text: &str) -> String {
        match field {
            "resourceVersion" if !matches!(text, "" | "0") => return "<version>".to_owned(),
            "continue" if !text.is_empty() => return "<token>".to_owned(),
            "cells" if self.age.is_match(text) => return "<age>".to_owned(),
            "name" if text.starts_with(TOKEN_VOLUME) => return format!("{TOKEN_VOLUME}<generated>"),
            _ if self.time.is_match(text) => return "<time>".to_owned(),
            _ => {}
        }
        let uids = &mut self.uids;
        let text = self.uid.replace_all(text, |found: &regex::Captures<'_>| {
            let next = uids.len() + 1;
            format!("<uid {}>", uids.entry(found[0].to_owned()).or_insert(next))
        });
        self.version.replace_all(&text, "$1<version>").into_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_differs_by_nature_is_taken_out() {
        let uid = "0b1f7f2c-8a54-4a37-9a0c-3c0b4c1f6f10";
        let mut value = json!({
            "metadata": {"name": "web-x7f2c", "generateName": "web-", "uid": uid, "resourceVersion": "17",
                "creationTimestamp": "2026-01-01T00:00:00Z"},
            "message": format!("UID in precondition: {uid}"),
            "rows": [{"cells": ["web", "80", "12s"]}],
        });
        Plain::default().strip(&mut value);
        assert_eq!(
            value,
            json!({
                "metadata": {"name": "<generated>", "generateName": "web-", "uid": "<uid 1>",
                    "resourceVersion": "<version>", "creationTimestamp": "<time>"},
                "message": "UID in precondition: <uid 1>",
                "rows": [{"cells": ["web", "80", "<age>"]}],
            })
        );
    }
}
