//! The part of JSONPath that CRDs use: printer columns, selectable fields, scale paths.
//!
//! Fields (`.a.b`, `['a']`), indices (`[0]`, `[*]`) and equality filters (`[?(@.type=="Ready")]`, both quote styles).

use serde_json::Value;

/// A parsed path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    Field(String),
    Index(i64),
    All,
    Filter {
        path: Vec<String>,
        equals: bool,
        value: Value,
    },
}

/// A path that this server does not understand.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("is invalid: a JSON path must start with a dot: {0:?}")]
    NoDot(String),
    #[error("is invalid: {0:?} is not closed")]
    Open(String),
    #[error("is invalid: unsupported part {0:?}")]
    Unsupported(String),
}

impl JsonPath {
    pub(crate) fn parse(text: &str) -> Result<Self, PathError> {
        let inner = text.trim();
        let inner = inner
            .strip_prefix('{')
            .and_then(|t| t.strip_suffix('}'))
            .unwrap_or(inner);
        let inner = inner.strip_prefix('$').unwrap_or(inner);
        if !inner.starts_with(['.', '[']) {
            return Err(PathError::NoDot(text.to_owned()));
        }
        let mut steps = Vec::new();
        let mut rest = inner;
        while !rest.is_empty() {
            if let Some(bracketed) = rest.strip_prefix('[') {
                let end = closing(bracketed).ok_or_else(|| PathError::Open(rest.to_owned()))?;
                steps.push(bracket(&bracketed[..end])?);
                rest = &bracketed[end + 1..];
            } else {
                let after = rest
                    .strip_prefix('.')
                    .ok_or_else(|| PathError::Unsupported(rest.to_owned()))?;
                let (name, remaining) = field_name(after);
                match name.as_str() {
                    "" if remaining.starts_with('[') => {}
                    "" => return Err(PathError::Unsupported(rest.to_owned())),
                    "*" => steps.push(Step::All),
                    _ => steps.push(Step::Field(name)),
                }
                rest = remaining;
            }
        }
        Ok(Self { steps })
    }

    /// All values that the path finds in `root`.
    pub(crate) fn find<'a>(&self, root: &'a Value) -> Vec<&'a Value> {
        let mut found = vec![root];
        for step in &self.steps {
            found = found.into_iter().flat_map(|value| step.apply(value)).collect();
        }
        found
    }

    /// The first value that the path finds.
    pub(crate) fn first<'a>(&self, root: &'a Value) -> Option<&'a Value> {
        self.find(root).into_iter().find(|value| !value.is_null())
    }

    /// Writes `value` at the path; only plain fields can be written. Says whether it could.
    pub(crate) fn set(&self, root: &mut Value, value: Value) -> bool {
        let mut target = root;
        for step in &self.steps {
            let Step::Field(name) = step else { return false };
            target = crate::object::map_mut(target)
                .entry(name.clone())
                .or_insert(Value::Null);
        }
        *target = value;
        true
    }

    /// The plain field names of the path, if it has nothing else.
    pub(crate) fn fields(&self) -> Option<Vec<&str>> {
        self.steps
            .iter()
            .map(|step| {
                if let Step::Field(name) = step {
                    Some(name.as_str())
                } else {
                    None
                }
            })
            .collect()
    }
}

impl Step {
    fn apply<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        match self {
            Step::Field(name) => value.get(name).into_iter().collect(),
            Step::Index(index) => {
                let Some(list) = value.as_array() else {
                    return Vec::new();
                };
                let at = if *index < 0 {
                    i64::try_from(list.len()).unwrap_or_default() + index
                } else {
                    *index
                };
                usize::try_from(at)
                    .ok()
                    .and_then(|at| list.get(at))
                    .into_iter()
                    .collect()
            }
            Step::All => match value {
                Value::Array(list) => list.iter().collect(),
                Value::Object(map) => map.values().collect(),
                _ => Vec::new(),
            },
            Step::Filter {
                path,
                equals,
                value: want,
            } => {
                let keep = |item: &&Value| {
                    let got = path.iter().try_fold(*item, |value, key| value.get(key));
                    got.is_some_and(|got| (got == want) == *equals)
                };
                value
                    .as_array()
                    .map(|list| list.iter().filter(keep).collect())
                    .unwrap_or_default()
            }
        }
    }
}

/// Reads a field name up to the next `.` or `[`; a backslash keeps a dot in the name.
fn field_name(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => name.extend(chars.next().map(|(_, escaped)| escaped)),
            '.' | '[' => return (name, &text[at..]),
            _ => name.push(c),
        }
    }
    (name, "")
}

/// The index of the bracket that closes the one just opened, quotes respected.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, ']') => return Some(at),
            (None, '\'' | '"') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    None
}

fn bracket(text: &str) -> Result<Step, PathError> {
    let text = text.trim();
    let unsupported = || PathError::Unsupported(format!("[{text}]"));
    if text == "*" {
        return Ok(Step::All);
    }
    if let Some(name) = unquote(text) {
        return Ok(Step::Field(name));
    }
    if let Ok(index) = text.parse() {
        return Ok(Step::Index(index));
    }
    let condition = text
        .strip_prefix("?(")
        .and_then(|t| t.strip_suffix(')'))
        .ok_or_else(unsupported)?;
    let (left, equals, right) = if let Some((left, right)) = condition.split_once("==") {
        (left, true, right)
    } else if let Some((left, right)) = condition.split_once("!=") {
        (left, false, right)
    } else {
        return Err(unsupported());
    };
    let path = left.trim().strip_prefix("@.").ok_or_else(unsupported)?;
    let right = right.trim();
    let value = match unquote(right) {
        Some(text) => Value::String(text),
        None => serde_json::from_str(right).map_err(|_| unsupported())?,
    };
    Ok(Step::Filter {
        path: path.split('.').map(str::to_owned).collect(),
        equals,
        value,
    })
}

fn unquote(text: &str) -> Option<String> {
    ['\'', '"'].into_iter().find_map(|quote| {
        let inner = text.strip_prefix(quote)?.strip_suffix(quote)?;
        Some(inner.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn paths_find_what_printer_columns_ask_for() {
        let object = json!({
            "spec": {"mode": "Strict", "a.b": 1, "ports": [{"port": 80}, {"port": 443}]},
            "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "Other", "status": "False"}]}
        });
        let cases = [
            (".spec.mode", vec![json!("Strict")]),
            ("{.spec.mode}", vec![json!("Strict")]),
            (r".spec.a\.b", vec![json!(1)]),
            (".spec['a.b']", vec![json!(1)]),
            (".spec.ports[0].port", vec![json!(80)]),
            (".spec.ports[-1].port", vec![json!(443)]),
            (".spec.ports[*].port", vec![json!(80), json!(443)]),
            (r#".status.conditions[?(@.type=="Ready")].status"#, vec![json!("True")]),
            (".status.conditions[?(@.type=='Ready')].status", vec![json!("True")]),
            (".status.conditions[?(@.type == 'Absent')].status", vec![]),
            (".spec.nothing", vec![]),
        ];
        for (path, want) in cases {
            let found: Vec<Value> = JsonPath::parse(path)
                .unwrap()
                .find(&object)
                .into_iter()
                .cloned()
                .collect();
            assert_eq!(found, want, "{path}");
        }
    }

    #[test]
    fn a_path_without_a_leading_dot_is_refused() {
        assert!(matches!(JsonPath::parse("spec.mode"), Err(PathError::NoDot(_))));
        assert!(matches!(JsonPath::parse(".spec.ports["), Err(PathError::Open(_))));
    }
}
