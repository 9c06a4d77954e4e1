//! `traffic_distribution.go`.

use super::{Cover::Test, Title};

pub(super) const TITLES: &[Title] = &[
    title(
        "should route traffic to an endpoint in the same zone when using PreferClose",
        "prefer_close_stays_in_the_zone",
    ),
    title(
        "should route traffic correctly between pods on multiple nodes when using PreferClose",
        "prefer_close_uses_all_nodes_of_the_zone",
    ),
    title(
        "should route traffic to an endpoint in the same zone when using PreferSameZone",
        "prefer_same_zone_stays_in_the_zone",
    ),
    title(
        "should route traffic correctly between pods on multiple nodes when using PreferSameZone",
        "prefer_same_zone_uses_all_nodes_of_the_zone",
    ),
    title(
        "should route traffic to an endpoint on the same node or fall back to same zone when using PreferSameNode",
        "prefer_same_node_falls_back_to_the_zone",
    ),
    title(
        "should route traffic to an endpoint on the same node when using PreferSameNode and fall back when the endpoint becomes unavailable",
        "prefer_same_node_falls_back_when_its_endpoint_goes",
    ),
];

const fn title(upstream: &'static str, test: &'static str) -> Title {
    Title {
        upstream,
        conformance: false,
        cover: Test("conformance_distribution", test),
    }
}
