//! What may differ, and finding what does. Pure.

use serde_json::Value;

use crate::{known::KNOWN, server::Transcript};

/// A difference that is meant to be.
pub(crate) struct Known {
    /// The step, with `*` for anything.
    pub(crate) step: &'static str,
    /// The field of the answer, with `*` for anything.
    pub(crate) field: &'static str,
    pub(crate) why: &'static str,
}

/// Every difference that is not known, and every known one that is none.
pub(crate) fn problems(in_memory: &Transcript, real: &Transcript) -> Vec<String> {
    let mut seen = vec![false; KNOWN.len()];
    let mut problems = Vec::new();
    for ((step, ours), (_, theirs)) in in_memory.iter().zip(real) {
        let mut found = Vec::new();
        differences("", ours, theirs, &mut found);
        if ours["status"] != theirs["status"] {
            // One says yes and the other no: what else is different follows from that.
            found.retain(|(field, ..)| field == ".status");
            let message = |answer: &Value| answer["body"]["message"].to_string();
            found.push((".body.message".to_owned(), message(ours), message(theirs)));
        }
        for (field, ours, theirs) in found {
            let known = KNOWN
                .iter()
                .position(|known| matches(known.step, step) && matches(known.field, &field));
            match known {
                Some(index) => seen[index] = true,
                None => problems.push(format!(
                    "{step}\n    {field}\n      in memory: {ours}\n      real:      {theirs}"
                )),
            }
        }
    }
    let unseen = KNOWN.iter().zip(seen).filter(|(_, seen)| !seen);
    problems.extend(
        unseen.map(|(known, _)| format!("no longer a difference: {} {} ({})", known.step, known.field, known.why)),
    );
    problems
}

/// The fields in which two answers differ, and what each has there.
fn differences(at: &str, ours: &Value, theirs: &Value, found: &mut Vec<(String, String, String)>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, value) in a {
                let at = format!("{at}.{name}");
                match b.get(name) {
                    Some(other) => differences(&at, value, other, found),
                    None => found.push((at, value.to_string(), ABSENT.to_owned())),
                }
            }
            for (name, value) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
                found.push((format!("{at}.{name}"), ABSENT.to_owned(), value.to_string()));
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (a, b)) in a.iter().zip(b).enumerate() {
                differences(&format!("{at}[{index}]"), a, b, found);
            }
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        _ if ours == theirs => {}
        _ => found.push((at.to_owned(), ours.to_string(), theirs.to_string())),
    }
}

/// What is said of a field that is not there.
const ABSENT: &str = "(absent)";

/// Whether `text` is of this pattern, in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(text) = text.strip_prefix(before) else {
        return false;
    };
    (0..=text.len()).any(|skip| text.is_char_boundary(skip) && matches(rest, &text[skip..]))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(ours: &Value, theirs: &Value) -> Vec<String> {
        let mut found = Vec::new();
        differences("", ours, theirs, &mut found);
        found.into_iter().map(|(field, ..)| field).collect()
    }

    #[test]
    fn a_difference_is_named_by_its_field() {
        let ours = json!({"a": {"b": [1, 2]}, "c": 1, "d": [1]});
        assert_eq!(fields(&ours, &ours), Vec::<String>::new());
        let theirs = json!({"a": {"b": [1, 3]}, "d": [1, 2], "e": 5});
        assert_eq!(fields(&ours, &theirs), [".a.b[1]", ".c", ".d", ".e"]);
    }

    #[test]
    fn a_star_stands_for_anything() {
        assert!(matches("lists: *", "lists: with a limit"));
        assert!(matches("*.message", ".body.details.message"));
        assert!(!matches("*.message", ".body.messages"));
        assert!(matches(".a[*].b", ".a[12].b"));
    }
}
