//! `endpointslice.go`: what concerns a Service proxy, and not the controllers that write slices.

use super::{Cover::Test, Title};

pub(super) const TITLES: &[Title] = &[
    title(
        "should support a Service with multiple ports specified in multiple EndpointSlices",
        "ports_may_be_in_several_slices",
    ),
    title(
        "should support a Service with multiple endpoint IPs specified in multiple EndpointSlices",
        "addresses_may_be_in_several_slices",
    ),
];

const fn title(upstream: &'static str, test: &'static str) -> Title {
    Title {
        upstream,
        conformance: true,
        cover: Test("conformance_networking", test),
    }
}
