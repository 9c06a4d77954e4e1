//! Transport protocols of Service ports.

use std::fmt;

use kpr_abi::proto;

/// A transport protocol that Kubernetes has for Service ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Transmission Control Protocol.
    Tcp,
    /// User Datagram Protocol.
    Udp,
    /// Stream Control Transmission Protocol.
    Sctp,
}

impl Protocol {
    /// IP protocol number (IANA).
    pub const fn number(self) -> u8 {
        match self {
            Self::Tcp => proto::TCP,
            Self::Udp => proto::UDP,
            Self::Sctp => proto::SCTP,
        }
    }

    /// As Kubernetes writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::Sctp => "SCTP",
        }
    }

    /// The one of this IP protocol number, if there is one.
    pub fn of_number(number: u8) -> Option<Self> {
        let known = [Self::Tcp, Self::Udp, Self::Sctp];
        known.into_iter().find(|protocol| protocol.number() == number)
    }

    /// Name of an IP protocol number: that of Kubernetes, or the number itself.
    pub fn name_of(number: u8) -> String {
        Self::of_number(number).map_or_else(|| number.to_string(), |protocol| protocol.to_string())
    }

    /// From Kubernetes' `protocol` field, whose default is TCP.
    pub fn parse(name: Option<&str>) -> Option<Self> {
        match name {
            None | Some("" | "TCP") => Some(Self::Tcp),
            Some("UDP") => Some(Self::Udp),
            Some("SCTP") => Some(Self::Sctp),
            Some(_) => None,
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
