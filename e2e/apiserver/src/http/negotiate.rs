//! `Accept` and `Content-Type`.

use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};

use crate::error::{ApiError, Result};

/// How the client wants objects to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Object,
    Table,
    /// `PartialObjectMetadata`: only type and metadata.
    Metadata,
}

/// How the client wants discovery to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Discovery {
    Legacy,
    AggregatedV2,
    AggregatedV2Beta1,
}

const SERVED: &[&str] = &["application/json"];

/// One entry of an `Accept` header: the media type and its parameters.
struct Media<'a> {
    kind: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Media<'_> {
    fn parameter(&self, name: &str) -> &str {
        self.parameters
            .iter()
            .find(|(key, _)| *key == name)
            .map_or("", |(_, value)| value)
    }

    fn is_json(&self) -> bool {
        matches!(self.kind, "application/json" | "application/*" | "*/*")
    }
}

fn parse(header: &str) -> Vec<Media<'_>> {
    header
        .split(',')
        .filter_map(|entry| {
            let mut parts = entry.split(';').map(str::trim);
            let kind = parts.next().filter(|kind| !kind.is_empty())?;
            let parameters = parts.filter_map(|part| part.split_once('=')).collect();
            Some(Media { kind, parameters })
        })
        .collect()
}

fn accept(headers: &HeaderMap) -> &str {
    headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

/// The first shape that both sides know; no header means plain JSON objects.
pub(crate) fn shape(headers: &HeaderMap) -> Result<Shape> {
    let wanted = parse(accept(headers));
    if wanted.is_empty() {
        return Ok(Shape::Object);
    }
    for media in wanted.iter().filter(|media| media.is_json()) {
        match media.parameter("as") {
            "" => return Ok(Shape::Object),
            "Table" if matches!(media.parameter("v"), "v1" | "v1beta1") => return Ok(Shape::Table),
            "PartialObjectMetadata" | "PartialObjectMetadataList" if media.parameter("v") == "v1" => {
                return Ok(Shape::Metadata);
            }
            _ => {}
        }
    }
    Err(ApiError::not_acceptable(SERVED))
}

/// The first form of discovery that both sides know.
pub(crate) fn discovery(headers: &HeaderMap) -> Discovery {
    let wanted = parse(accept(headers));
    let aggregated = |media: &Media<'_>| {
        (media.is_json() && media.parameter("as") == "APIGroupDiscoveryList")
            .then(|| match media.parameter("v") {
                "v2" => Some(Discovery::AggregatedV2),
                "v2beta1" => Some(Discovery::AggregatedV2Beta1),
                _ => None,
            })
            .flatten()
    };
    wanted
        .iter()
        .filter(|media| media.is_json())
        .find_map(|media| {
            if media.parameter("as").is_empty() {
                Some(Discovery::Legacy)
            } else {
                aggregated(media)
            }
        })
        .unwrap_or(Discovery::Legacy)
}

/// The media type of the body, without parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))])
    }

    #[test]
    fn the_accept_header_chooses_the_shape() {
        let cases = [
            ("application/json", Ok(Shape::Object)),
            (
                "application/vnd.kubernetes.protobuf,application/json",
                Ok(Shape::Object),
            ),
            ("application/json, */*", Ok(Shape::Object)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Ok(Shape::Table),
            ),
            (
                "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1",
                Ok(Shape::Metadata),
            ),
            ("application/xml", Err(406)),
            ("application/vnd.kubernetes.protobuf", Err(406)),
        ];
        for (accept, want) in cases {
            assert_eq!(shape(&headers(accept)).map_err(|error| error.code), want, "{accept}");
        }
        assert_eq!(shape(&HeaderMap::new()), Ok(Shape::Object));
    }

    #[test]
    fn the_accept_header_chooses_the_discovery() {
        let v2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert_eq!(discovery(&headers(v2)), Discovery::AggregatedV2);
        assert_eq!(discovery(&headers("application/json, */*")), Discovery::Legacy);
    }
}
