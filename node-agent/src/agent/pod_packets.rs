//! Why pods' packets are balanced one by one: pure.

use std::{collections::BTreeSet, fmt};

use kpr_crds::NodeDatapathSpec;

/// A reason to balance pods' packets on pod-facing devices, beside what the socket hooks do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PodPackets {
    /// The user asks for it, for pods whose sockets are not seen.
    Configured,
    /// Services of SCTP, whose sockets the kernel's hooks do not tell of.
    SctpServices,
    /// Associations that a pod has with such a Service outlive it.
    SctpAssociations,
}

/// What of the node decides, beside the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sctp {
    /// Frontends of SCTP are programmed.
    pub(super) frontends: bool,
    /// Flows of SCTP live.
    pub(super) flows: bool,
}

impl PodPackets {
    /// All reasons there are; none: pods' packets are nobody's business.
    pub(super) fn reasons(spec: &NodeDatapathSpec, sctp: Sctp) -> BTreeSet<Self> {
        let table = [
            (spec.socket_lb.packet_fallback, Self::Configured),
            (sctp.frontends, Self::SctpServices),
            (sctp.flows && !sctp.frontends, Self::SctpAssociations),
        ];
        let holds = table.into_iter().filter(|(holds, _)| *holds);
        holds.map(|(_, reason)| reason).collect()
    }
}

impl fmt::Display for PodPackets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Configured => "spec.socketLB.packetFallback",
            Self::SctpServices => "SCTP Services",
            Self::SctpAssociations => "SCTP associations that outlive their Service",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_sctp_services_ask_for_it_and_else_nobody() {
        use PodPackets::{Configured, SctpAssociations, SctpServices};
        for (configured, frontends, flows, reasons) in [
            (false, false, false, vec![]),
            (true, false, false, vec![Configured]),
            (false, true, false, vec![SctpServices]),
            (false, true, true, vec![SctpServices]),
            (false, false, true, vec![SctpAssociations]),
            (true, true, true, vec![Configured, SctpServices]),
        ] {
            let mut spec = NodeDatapathSpec::default();
            spec.socket_lb.packet_fallback = configured;
            let found = PodPackets::reasons(&spec, Sctp { frontends, flows });
            assert_eq!(found, reasons.into_iter().collect());
        }
    }
}
