//! What `kpr-cluster conformance` prints: upstream's tests and what answers them (pure).

use anyhow::{Context, Result};
use serde_json::Value;

/// All of them.
#[derive(Debug)]
pub(super) struct Catalogue {
    pub(super) files: Vec<File>,
}

/// Those of one upstream file.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) titles: Vec<Title>,
}

/// One upstream test.
#[derive(Debug)]
pub(super) struct Title {
    pub(super) upstream: String,
    pub(super) conformance: bool,
    pub(super) answer: Answer,
}

#[derive(Debug)]
pub(super) enum Answer {
    /// Test target and test of each that must pass.
    Tests(Vec<(String, String)>),
    /// Why none is needed.
    NotApplicable(String),
}

impl Catalogue {
    pub(super) fn parse(json: &str) -> Result<Self> {
        let value: Value = serde_json::from_str(json).context("the catalogue of upstream's tests is no JSON")?;
        let files = value.as_array().into_iter().flatten().map(file).collect::<Option<_>>();
        let files = files.filter(|files: &Vec<File>| !files.is_empty());
        Ok(Self {
            files: files.context("the catalogue of upstream's tests has another shape")?,
        })
    }
}

fn file(value: &Value) -> Option<File> {
    let titles = value["titles"].as_array()?;
    Some(File {
        name: value["file"].as_str()?.to_owned(),
        titles: titles.iter().map(title).collect::<Option<_>>()?,
    })
}

fn title(value: &Value) -> Option<Title> {
    let answer = match value["notApplicable"].as_str() {
        Some(why) => Answer::NotApplicable(why.to_owned()),
        None => Answer::Tests(value["tests"].as_array()?.iter().map(test).collect::<Option<_>>()?),
    };
    Some(Title {
        upstream: value["upstream"].as_str()?.to_owned(),
        conformance: value["conformance"].as_bool()?,
        answer,
    })
}

fn test(value: &Value) -> Option<(String, String)> {
    Some((value[0].as_str()?.to_owned(), value[1].as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_but_a_catalogue_is_an_error() {
        for wrong in [
            "",
            "[]",
            "{}",
            r#"[{"file": "service.go"}]"#,
            r#"[{"file": "service.go", "titles": [{"upstream": "should serve", "conformance": true}]}]"#,
            r#"[{"file": "service.go", "titles": [{"upstream": "should serve", "conformance": true, "tests": ["serves"]}]}]"#,
        ] {
            assert!(Catalogue::parse(wrong).is_err(), "{wrong}");
        }
    }
}
