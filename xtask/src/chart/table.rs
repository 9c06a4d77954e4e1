//! The table of values, as Markdown. Pure.

use super::values::{Section, Value};

/// A heading and a table for each section.
pub(super) fn markdown(sections: &[Section]) -> String {
    sections.iter().map(section).collect::<Vec<_>>().join("\n")
}

fn section(Section { title, values }: &Section) -> String {
    let rows: String = values.iter().map(row).collect();
    format!("### {title}\n\n| value | kind | default | |\n|---|---|---|---|\n{rows}")
}

fn row(value: &Value) -> String {
    let Value {
        path,
        default,
        description,
    } = value;
    format!(
        "| `{path}` | {} | `{}` | {} |\n",
        kind(default),
        cell(default),
        cell(description)
    )
}

/// What a default tells of the values that may stand in its place.
fn kind(default: &str) -> &'static str {
    match default {
        "true" | "false" => "bool",
        text if text.starts_with('[') => "list",
        text if text.starts_with('{') => "object",
        text if text.parse::<i64>().is_ok() => "int",
        text if text.parse::<f64>().is_ok() => "number",
        _ => "string",
    }
}

/// Text that does not end its cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_what_may_be_set() {
        let value = |default: &str| Value {
            path: "a.b".to_owned(),
            default: default.to_owned(),
            description: "One | two.".to_owned(),
        };
        assert_eq!(row(&value("7")), "| `a.b` | int | `7` | One \\| two. |\n");
        for (default, expected) in [
            ("true", "bool"),
            ("[]", "list"),
            ("{}", "object"),
            ("0.0025", "number"),
            ("\"\"", "string"),
            ("30000-32767", "string"),
        ] {
            assert_eq!(kind(default), expected, "{default}");
        }
    }
}
