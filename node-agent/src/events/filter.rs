//! What a listener asks for.

use std::{fmt, str::FromStr};

use ipnet::IpNet;
use kpr_abi::{Be16, Event, Reason, event::Wanted};
use serde::{Deserialize, Serialize};

use super::{
    Names,
    told::{address, reason},
};
use crate::model::Protocol;

/// Which events are told. Everything that is asked for must be so.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Filter {
    /// Of these clients. Sockets have no address yet, and are none.
    pub client: Option<Place>,
    /// Of these frontends.
    pub frontend: Option<Place>,
    /// Of this Service, `namespace/name`, or only of a port of it, `namespace/name:port`.
    pub service: Option<String>,
    /// Of these backends.
    pub backend: Option<Place>,
    /// Of this protocol: "TCP", "UDP" or "SCTP".
    pub protocol: Option<String>,
    /// Only what goes no further.
    pub drops: bool,
    /// Only with these reasons. None: all, but for packets of flows that XDP sends on, each of which has one.
    pub reasons: Vec<String>,
    /// One in so many. 0 is 1.
    pub sample: u32,
}

impl Filter {
    /// The reasons that are asked for, as bits; an error names one that there is not.
    pub fn mask(&self) -> Result<u64, String> {
        let mut mask = 0;
        for name in &self.reasons {
            let known = Reason::ALL.into_iter().find(|reason| reason.name() == name);
            let known = known.ok_or_else(|| {
                let all: Vec<_> = Reason::ALL.iter().map(|reason| reason.name()).collect();
                format!("there is no reason {name:?}; there are {}", all.join(", "))
            })?;
            mask |= bit(known);
        }
        if self.reasons.is_empty() {
            mask = Reason::ALL.into_iter().map(bit).sum::<u64>() & !bit(Reason::XdpForwarded);
        }
        if self.drops {
            mask &= Reason::ALL
                .into_iter()
                .filter(|reason| dies(*reason))
                .map(bit)
                .sum::<u64>();
        }
        Ok(mask)
    }

    /// What the programs have to tell for this filter.
    pub fn wanted(&self) -> Result<Wanted, String> {
        Ok(Wanted {
            reasons: self.mask()?,
            sample: self.sample.max(1),
            zero: 0,
        })
    }

    /// Whether the event is asked for.
    pub fn takes(&self, mask: u64, event: &Event, names: &Names) -> bool {
        let is_asked = reason(event).is_some_and(|reason| mask & bit(reason) != 0);
        let place = |asked: &Option<Place>, words, port: Be16| {
            let is_in = |place: &Place| place.has(address(event.family, words), port.host());
            asked.as_ref().is_none_or(is_in)
        };
        let is_service = |asked: &String| names.of(event).is_some_and(|name| is_service(name, asked));
        is_asked
            && place(&self.client, event.client, event.client_port)
            && place(&self.frontend, event.frontend, event.frontend_port)
            && place(&self.backend, event.backend, event.backend_port)
            && self.service.as_ref().is_none_or(is_service)
            && (self.protocol.as_ref()).is_none_or(|asked| Protocol::name_of(event.proto).eq_ignore_ascii_case(asked))
    }
}

fn bit(reason: Reason) -> u64 {
    1 << (reason as u32)
}

/// Whether `asked` names the Service's port, or the whole Service.
fn is_service(name: &str, asked: &str) -> bool {
    let rest = name.strip_prefix(asked);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Whether what this is counted for goes no further.
pub fn dies(reason: Reason) -> bool {
    match reason {
        Reason::SocketTranslated
        | Reason::FlowToLocal
        | Reason::FlowToRemote
        | Reason::FlowToRemoteDsr
        | Reason::FlowFromDsr
        | Reason::DsrSentBack
        | Reason::PassMidFlow
        | Reason::XdpForwarded => false,
        Reason::SocketNoEndpoint
        | Reason::SocketNoLocalEndpoint
        | Reason::SocketSourceRange
        | Reason::SocketBindRefused
        | Reason::RefuseNoEndpoint
        | Reason::RefuseSnatExhausted
        | Reason::PassNoEndpoint
        | Reason::DropNoLocalEndpoint
        | Reason::DropNoRoute
        | Reason::DropTtl
        | Reason::DropFragment
        | Reason::DropFlowTableFull
        | Reason::DropInconsistent
        | Reason::DropRewriteFailed
        | Reason::DropSourceRange
        | Reason::DropSctpFragment
        | Reason::DropHandOver
        | Reason::DropTooBig
        | Reason::DropDsrUnknown => true,
    }
}

/// Addresses, a port, or both: `10.0.0.0/8`, `10.96.0.10:53`, `[fd00::1]:53`, `:53`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Place {
    net: Option<IpNet>,
    port: Option<u16>,
}

/// What is no [`Place`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is neither an address, a CIDR, ADDRESS:PORT nor :PORT")]
pub struct PlaceError(String);

impl Place {
    fn has(&self, addr: std::net::IpAddr, port: u16) -> bool {
        self.net.is_none_or(|net| net.contains(&addr)) && self.port.is_none_or(|asked| asked == port)
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let net = |text: &str| {
            text.parse::<IpNet>()
                .ok()
                .or_else(|| Some(text.parse::<std::net::IpAddr>().ok()?.into()))
        };
        if let Some(net) = net(text) {
            return Ok(Self {
                net: Some(net),
                port: None,
            });
        }
        let wrong = || PlaceError(text.to_owned());
        let (addr, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let port = Some(port.parse().map_err(|_| wrong())?);
        if addr.is_empty() {
            return Ok(Self { net: None, port });
        }
        let bare = addr
            .strip_prefix('[')
            .and_then(|addr| addr.strip_suffix(']'))
            .unwrap_or(addr);
        let net = Some(net(bare).ok_or_else(wrong)?);
        Ok(Self { net, port })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.net, self.port) {
            (Some(net), Some(port)) => write!(f, "[{net}]:{port}"),
            (Some(net), None) => net.fmt(f),
            (None, port) => write!(f, ":{}", port.unwrap_or_default()),
        }
    }
}

impl TryFrom<String> for Place {
    type Error = PlaceError;

    fn try_from(text: String) -> Result<Self, PlaceError> {
        text.parse()
    }
}

impl From<Place> for String {
    fn from(place: Place) -> Self {
        place.to_string()
    }
}
