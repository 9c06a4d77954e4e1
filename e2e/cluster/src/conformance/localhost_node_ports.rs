//! `localhost_nodeports.go`.

use super::{
    Cover::{self, NotApplicable, Test},
    Title,
};

pub(super) const TITLES: &[Title] = &[
    title(
        "should proxy localhost NodePort traffic to backends across nodes",
        Test("conformance_networking", "loopback_leads_to_pods_on_every_node"),
    ),
    title(
        "should honor sessionAffinity=ClientIP for localhost NodePort",
        Test("conformance_networking", "loopback_has_session_affinity"),
    ),
    title(
        "should let a node pull an image from a registry exposed via localhost NodePort",
        NotApplicable("the test cluster's kubelet pulls no images; the way to the registry is that of the first title"),
    ),
];

const fn title(upstream: &'static str, cover: Cover) -> Title {
    Title {
        upstream,
        conformance: false,
        cover,
    }
}
