//! `kube_proxy.go`.

use super::{
    Cover::{self, NotApplicable},
    Title,
};

pub(super) const TITLES: &[Title] = &[
    title(
        "should set TCP CLOSE_WAIT timeout",
        NotApplicable(
            "kpr leaves the sysctls of nf_conntrack alone, because its connections are not there; its own table keeps a half-closed \
             connection for the same hour (unit tests of the flow table's time-outs)",
        ),
    ),
    title(
        "should update metric for tracking accepted packets destined for localhost nodeports",
        NotApplicable(
            "counts what a rule of iptables accepts; kpr has no such rule, and kube-proxy's other modes skip the test too",
        ),
    ),
];

const fn title(upstream: &'static str, cover: Cover) -> Title {
    Title {
        upstream,
        conformance: false,
        cover,
    }
}
