//! Protocols and families as people write them.

use clap::ValueEnum;
use kpr_abi::{Family, V4, V6, proto};

/// A transport protocol of Services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Protocol {
    Tcp,
    Udp,
    Sctp,
}

impl Protocol {
    /// IP protocol number.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Tcp => proto::TCP,
            Self::Udp => proto::UDP,
            Self::Sctp => proto::SCTP,
        }
    }
}

/// An address family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum IpFamily {
    Ipv4,
    Ipv6,
}

impl IpFamily {
    /// As Kubernetes writes it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ipv4 => V4::NAME,
            Self::Ipv6 => V6::NAME,
        }
    }
}
