//! Why programs are on pod-facing devices, where pods' packets are balanced one by one: pure. Without a reason none are there,
//! for every packet of a pod would pass them.

use std::{collections::BTreeSet, fmt};

use kpr_crds::NodeDatapathSpec;

/// A reason to look at pods' packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodReason {
    /// `spec.socketLB.packetFallback`.
    PacketFallback,
    /// Some frontend has source ranges. What address a pod's socket will have is not known when it connects: its packets tell.
    SourceRanges,
    /// Some frontend is one of SCTP, whose sockets the kernel's hooks do not tell of.
    Sctp,
    /// The other reasons are gone, and flows that began here are not over yet.
    OpenFlows,
}

/// What is served now, as far as it needs programs on pod-facing devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Served {
    /// A frontend with source ranges is wanted, or still in the tables.
    pub(super) source_ranges: bool,
    /// So is one of SCTP.
    pub(super) sctp: bool,
    /// A flow may be open that a pod's packet began on its device.
    pub(super) open_flows: bool,
}

/// All reasons that there are; none: no programs.
pub(super) fn reasons(spec: &NodeDatapathSpec, served: Served) -> BTreeSet<PodReason> {
    let Served {
        source_ranges,
        sctp,
        open_flows,
    } = served;
    let lasting = [
        (PodReason::PacketFallback, spec.socket_lb.packet_fallback),
        (PodReason::SourceRanges, source_ranges),
        (PodReason::Sctp, sctp),
    ];
    let mut reasons: BTreeSet<_> = lasting
        .into_iter()
        .filter_map(|(reason, holds)| holds.then_some(reason))
        .collect();
    if reasons.is_empty() && open_flows {
        reasons.insert(PodReason::OpenFlows);
    }
    reasons
}

impl PodReason {
    /// Whether new flows may begin because of it.
    pub(super) fn is_lasting(self) -> bool {
        self != Self::OpenFlows
    }
}

impl fmt::Display for PodReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PacketFallback => "socketLB.packetFallback",
            Self::SourceRanges => "source ranges",
            Self::Sctp => "SCTP",
            Self::OpenFlows => "open flows",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{PodReason::*, *};

    #[test]
    fn each_need_is_a_reason_and_open_flows_count_only_after_all_others() {
        for (packet_fallback, source_ranges, sctp, open_flows, expected) in [
            (false, false, false, false, &[][..]),
            (true, false, false, false, &[PacketFallback]),
            (true, true, true, true, &[PacketFallback, SourceRanges, Sctp]),
            (false, true, false, true, &[SourceRanges]),
            (false, false, true, true, &[Sctp]),
            (false, false, false, true, &[OpenFlows]),
        ] {
            let mut spec = NodeDatapathSpec::default();
            spec.socket_lb.packet_fallback = packet_fallback;
            let served = Served {
                source_ranges,
                sctp,
                open_flows,
            };
            let found: Vec<_> = reasons(&spec, served).into_iter().collect();
            assert_eq!(found, expected);
        }
    }
}
