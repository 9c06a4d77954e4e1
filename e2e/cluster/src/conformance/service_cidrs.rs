//! `service_cidrs.go`.

use super::{Cover::Test, Title};

pub(super) const TITLES: &[Title] = &[Title {
    upstream: "should create Services and serve on different Service CIDRs",
    conformance: false,
    cover: Test("conformance_networking", "a_cluster_ip_of_another_range_is_served"),
}];
