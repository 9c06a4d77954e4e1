//! How a command prints its answer: for people, or for programs.

use std::io::Write;

use clap::ValueEnum;
use serde::Serialize;

/// How to print an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// For people, with all columns.
    Wide,
    /// For programs.
    Json,
    /// The same as YAML.
    Yaml,
}

/// The flag that every command has.
#[derive(Clone, Copy, Debug, Default, clap::Args)]
pub struct Format {
    /// How to print the answer
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t)]
    pub output: Output,
}

impl Output {
    /// Whether it is for people.
    pub(super) fn is_text(self) -> bool {
        matches!(self, Self::Text | Self::Wide)
    }

    /// Prints an answer; `page` makes the one for people.
    pub(super) fn print(
        self,
        out: &mut dyn Write,
        answer: &impl Serialize,
        page: impl FnOnce() -> String,
    ) -> anyhow::Result<()> {
        let text = match self {
            Self::Text | Self::Wide => page(),
            Self::Json => serde_json::to_string_pretty(answer)? + "\n",
            Self::Yaml => serde_saphyr::to_string(answer)?,
        };
        Ok(out.write_all(text.as_bytes())?)
    }
}

/// An answer of so many parts that they are printed as they come: one list.
pub(super) struct Items<'o> {
    format: Output,
    out: &'o mut dyn Write,
    any: bool,
}

impl<'o> Items<'o> {
    /// Nothing is printed yet. `format`: one for programs.
    pub(super) fn new(format: Output, out: &'o mut dyn Write) -> Self {
        Self {
            format,
            out,
            any: false,
        }
    }

    /// Prints one part.
    pub(super) fn item(&mut self, item: &impl Serialize) -> anyhow::Result<()> {
        if self.format == Output::Yaml {
            self.out.write_all(serde_saphyr::to_string(&[item])?.as_bytes())?;
        } else {
            let before = if self.any { ",\n  " } else { "[\n  " };
            write!(self.out, "{before}{}", serde_json::to_string(item)?)?;
        }
        self.any = true;
        Ok(())
    }

    /// Ends the list.
    pub(super) fn end(self) -> anyhow::Result<()> {
        let end = match (self.format, self.any) {
            (Output::Yaml, true) => "",
            (_, true) => "\n]\n",
            (_, false) => "[]\n",
        };
        Ok(self.out.write_all(end.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// What is printed of a list, printed part by part.
    fn list(format: Output, items: &[Value]) -> String {
        let mut out = Vec::new();
        let mut list = Items::new(format, &mut out);
        items.iter().for_each(|item| list.item(item).unwrap());
        list.end().unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_list_that_is_printed_part_by_part_is_one_document() {
        for items in [
            vec![],
            vec![json!({"a": 1, "b": "x: y"})],
            vec![json!({"a": [1]}), json!({"a": []})],
        ] {
            let printed: Value = serde_json::from_str(&list(Output::Json, &items)).unwrap();
            assert_eq!(printed, json!(items));
            let printed: Value = serde_saphyr::from_str(&list(Output::Yaml, &items)).unwrap();
            assert_eq!(printed, json!(items));
        }
    }

    #[test]
    fn json_and_yaml_say_the_same_and_people_get_their_page() {
        let answer = json!({"family": "IPv4", "backends": [{"address": "10.244.0.2:80", "local": true}], "none": null});
        let print = |format: Output| {
            let mut out = Vec::new();
            format.print(&mut out, &answer, || "a page\n".into()).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(serde_json::from_str::<Value>(&print(Output::Json)).unwrap(), answer);
        assert_eq!(serde_saphyr::from_str::<Value>(&print(Output::Yaml)).unwrap(), answer);
        assert_eq!([print(Output::Text), print(Output::Wide)], ["a page\n", "a page\n"]);
    }
}
