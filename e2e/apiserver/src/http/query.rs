//! Query parameters.

use std::collections::HashMap;

use crate::error::{ApiError, Result};
use crate::field::FieldError;
use crate::write::FieldValidation;

/// The decoded parameters of a request.
#[derive(Debug, Default)]
pub(crate) struct Query(HashMap<String, String>);

impl Query {
    pub(crate) fn parse(query: Option<&str>) -> Self {
        let pairs = query
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(key), decode(value))
            });
        Self(pairs.collect())
    }

    /// The parameter, or "" where it is absent.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    pub(crate) fn flag(&self, key: &str) -> bool {
        matches!(self.text(key), "true" | "1")
    }

    /// A whole number; absent is `None`.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>> {
        match self.text(key) {
            "" => Ok(None),
            text => text
                .parse()
                .map(Some)
                .map_err(|_| ApiError::bad_request(format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))),
        }
    }

    /// `dryRun` of options of this kind.
    pub(crate) fn dry_run(&self, options: &str) -> Result<bool> {
        match self.text("dryRun") {
            "" => Ok(false),
            "All" => Ok(true),
            other => {
                let error = [FieldError::not_supported("dryRun", vec![other], &["All"])];
                Err(ApiError::invalid("meta.k8s.io", options, "", &error))
            }
        }
    }

    /// `fieldValidation` of options of this kind.
    pub(crate) fn field_validation(&self, options: &str) -> Result<FieldValidation> {
        match self.text("fieldValidation") {
            "" | "Warn" => Ok(FieldValidation::Warn),
            "Ignore" => Ok(FieldValidation::Ignore),
            "Strict" => Ok(FieldValidation::Strict),
            other => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                let error = [FieldError::not_supported("fieldValidation", other, &supported)];
                Err(ApiError::invalid("meta.k8s.io", options, "", &error))
            }
        }
    }
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        let hex = tail
            .get(..2)
            .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            (b'+', _) => bytes.push(b' '),
            (byte, _) => bytes.push(*byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse(Some(
            "&limit=500&fieldSelector=metadata.name%3Da%2Cx%3Db&watch=true&labelSelector=a+in+(b)",
        ));
        assert_eq!(query.number("limit").unwrap(), Some(500));
        assert_eq!(query.text("fieldSelector"), "metadata.name=a,x=b");
        assert_eq!(query.text("labelSelector"), "a in (b)");
        assert!(query.flag("watch") && !query.flag("absent"));
        assert_eq!(Query::parse(Some("limit=x")).number("limit").unwrap_err().code, 400);
    }
}
