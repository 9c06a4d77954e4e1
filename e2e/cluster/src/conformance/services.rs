//! `service.go`.

use super::{Cover::Test, Title};

pub(super) const TITLES: &[Title] = &[Title {
    upstream: "should fail health check node port if there are only terminating endpoints",
    conformance: false,
    cover: Test("health", "only_terminating_endpoints_fail_the_health_check_and_serve"),
}];
