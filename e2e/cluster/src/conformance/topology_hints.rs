//! `topology_hints.go`.

use super::{Cover::Test, Title};

pub(super) const TITLES: &[Title] = &[Title {
    upstream: "should distribute endpoints evenly",
    conformance: false,
    cover: Test("conformance_distribution", "hints_keep_requests_in_their_zone"),
}];
