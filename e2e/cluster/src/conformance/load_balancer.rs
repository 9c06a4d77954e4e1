//! `loadbalancer.go`.

use super::{
    Cover::{self, Test},
    Title,
};

pub(super) const TITLES: &[Title] = &[
    title(
        "should work for type=LoadBalancer",
        Test("health", "the_health_check_port_is_closed_after_the_type_changes"),
    ),
    title(
        "should only target nodes with endpoints",
        Test("health", "only_nodes_with_endpoints_pass_the_health_check"),
    ),
    title(
        "should handle updates to ExternalTrafficPolicy field",
        Test("health", "the_health_check_follows_the_external_traffic_policy"),
    ),
];

const fn title(upstream: &'static str, cover: Cover) -> Title {
    Title {
        upstream,
        conformance: false,
        cover,
    }
}
