//! `networking.go`.

use super::{
    Cover::{self, Test},
    Title,
};

pub(super) const TITLES: &[Title] = &[title(
    "should check kube-proxy urls",
    Test("health", "every_node_answers_kube_proxys_urls"),
)];

const fn title(upstream: &'static str, cover: Cover) -> Title {
    Title {
        upstream,
        conformance: false,
        cover,
    }
}
