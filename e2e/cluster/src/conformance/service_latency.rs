//! `service_latency.go`.

use super::{Cover::Test, Title};

pub(super) const TITLES: &[Title] = &[Title {
    upstream: "should not be very high",
    conformance: true,
    cover: Test("conformance_networking", "a_new_service_is_served_soon"),
}];
