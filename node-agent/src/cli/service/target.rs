//! What `kpr service get` is asked for.

use std::{net::SocketAddr, str::FromStr};

use super::Entry;

/// One Service, or one frontend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Target {
    /// `namespace/name`.
    Name(String),
    /// A frontend's id. Each family counts for itself.
    Id(u32),
    /// A frontend's address and port, and its protocol, if that is told.
    Address(SocketAddr, Option<String>),
}

/// What was written is none of the three.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither NAMESPACE/NAME, nor the ID of a frontend, nor ADDR:PORT[/PROTO]")]
pub(in crate::cli) struct NoTarget;

impl FromStr for Target {
    type Err = NoTarget;

    fn from_str(text: &str) -> Result<Self, NoTarget> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(address, None));
        }
        let (before, after) = text.split_once('/').ok_or(NoTarget)?;
        if let Ok(address) = before.parse() {
            return Ok(Self::Address(address, Some(after.to_ascii_uppercase())));
        }
        // A Pod's hostPorts are of `namespace/pod/name`.
        let is_name = |part: &str| !part.is_empty() && !part.contains(':');
        if is_name(before) && is_name(after) {
            Ok(Self::Name(text.to_owned()))
        } else {
            Err(NoTarget)
        }
    }
}

impl Target {
    /// Whether the frontend is meant.
    pub(super) fn matches(&self, entry: &Entry) -> bool {
        match self {
            Self::Name(name) => entry.service.as_ref() == Some(name),
            Self::Id(id) => entry.id == *id,
            Self::Address(address, protocol) => {
                entry.frontend == *address && protocol.as_ref().is_none_or(|protocol| *protocol == entry.protocol)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_name_an_id_or_an_address() {
        let address = |text: &str, protocol: Option<&str>| {
            Ok(Target::Address(text.parse().unwrap(), protocol.map(str::to_owned)))
        };
        for (text, target) in [
            ("default/web", Ok(Target::Name("default/web".into()))),
            ("default/pod/web", Ok(Target::Name("default/pod/web".into()))),
            ("7", Ok(Target::Id(7))),
            ("10.96.0.10:53", address("10.96.0.10:53", None)),
            ("10.96.0.10:53/udp", address("10.96.0.10:53", Some("UDP"))),
            ("[fd00:10:96::a]:53/TCP", address("[fd00:10:96::a]:53", Some("TCP"))),
            ("web", Err(NoTarget)),
            ("10.96.0.10", Err(NoTarget)),
            ("10.96.0.10:dns/UDP", Err(NoTarget)),
            ("default/", Err(NoTarget)),
        ] {
            assert_eq!(text.parse(), target, "{text}");
        }
    }
}
