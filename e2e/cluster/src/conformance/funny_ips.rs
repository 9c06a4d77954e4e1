//! `funny_ips.go`.

use super::{Cover::Test, Title};

pub(super) const TITLES: &[Title] = &[Title {
    upstream: "IPv4 Service Type ClusterIP with leading zeros should work interpreted as decimal",
    conformance: false,
    cover: Test("conformance_networking", "leading_zeros_are_decimal"),
}];
