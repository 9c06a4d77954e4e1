//! Which flows are meant.

use std::{
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};

use crate::{
    cli::protocol::{IpFamily, Protocol},
    datapath::{Flow, FlowState, Path},
};

/// What a flow must have; each that is left out is had by all.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct Filter {
    /// Flows of this client
    #[arg(long, value_name = "ADDR[:PORT]")]
    client: Option<Peer>,
    /// Flows to this frontend, as the client asked for it: a NodePort at the node's own address
    #[arg(long, value_name = "ADDR[:PORT]")]
    frontend: Option<Peer>,
    /// Flows that were led to this backend
    #[arg(long, value_name = "ADDR[:PORT]")]
    backend: Option<Peer>,
    /// Flows of this protocol
    #[arg(long = "proto", value_name = "PROTOCOL", value_enum, ignore_case = true)]
    protocol: Option<Protocol>,
    /// Flows of this address family
    #[arg(long, value_enum, ignore_case = true)]
    family: Option<IpFamily>,
    /// Flows in one of these states
    #[arg(long, value_parser = one_of(&FlowState::ALL, FlowState::name), value_delimiter = ',')]
    state: Vec<FlowState>,
    /// Flows whose packets get to their backend in one of these ways
    #[arg(long, value_parser = one_of(&Path::ALL, Path::name), ignore_case = true, value_delimiter = ',')]
    via: Vec<Path>,
}

impl Filter {
    /// Whether the flow is meant.
    pub(super) fn matches(&self, flow: &Flow) -> bool {
        let Self {
            client,
            frontend,
            backend,
            protocol,
            family: _,
            state,
            via,
        } = self;
        let has = |wanted: &Option<Peer>, is: Option<SocketAddr>| {
            wanted.is_none_or(|wanted| is.is_some_and(|is| wanted.matches(is)))
        };
        has(client, Some(flow.client))
            && has(frontend, flow.frontend)
            && has(backend, flow.backend)
            && protocol.is_none_or(|protocol| protocol.number() == flow.protocol)
            && (state.is_empty() || state.contains(&flow.state))
            && (via.is_empty() || via.contains(&flow.path))
    }

    /// Whether flows of this family may be meant.
    pub(super) fn wants(&self, family: &str) -> bool {
        self.family.is_none_or(|wanted| wanted.name() == family)
    }
}

/// An address, and a port if only that is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Peer {
    addr: IpAddr,
    port: Option<u16>,
}

/// What was written is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither ADDR nor ADDR:PORT (an IPv6 address before a port stands in brackets)")]
struct NoPeer;

impl FromStr for Peer {
    type Err = NoPeer;

    fn from_str(text: &str) -> Result<Self, NoPeer> {
        if let Ok(socket) = text.parse::<SocketAddr>() {
            let (addr, port) = (socket.ip(), Some(socket.port()));
            return Ok(Self { addr, port });
        }
        let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
        let addr = bare.unwrap_or(text).parse().map_err(|_| NoPeer)?;
        Ok(Self { addr, port: None })
    }
}

impl Peer {
    fn matches(&self, socket: SocketAddr) -> bool {
        self.addr == socket.ip() && self.port.is_none_or(|port| port == socket.port())
    }
}

/// Takes the name of one of these.
fn one_of<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let names = PossibleValuesParser::new(all.iter().map(|one| name(*one)));
    names.try_map(move |word| {
        let is_it = |one: &&T| name(**one).eq_ignore_ascii_case(&word);
        all.iter().find(is_it).copied().ok_or("not one of them")
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{super::entry::tests::flow, *};

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        filter: Filter,
    }

    fn filter(words: &[&str]) -> Filter {
        Line::try_parse_from([&["kpr"], words].concat()).unwrap().filter
    }

    #[test]
    fn a_flow_must_have_everything_that_is_asked_for() {
        for (words, matches) in [
            (&[][..], true),
            (&["--client", "198.51.100.7"], true),
            (&["--client", "198.51.100.7:40000"], true),
            (&["--client", "198.51.100.7:40001"], false),
            (&["--client", "198.51.100.8"], false),
            (&["--frontend", "192.168.49.2:30080", "--proto", "tcp"], true),
            (&["--frontend", "192.168.49.2:30080", "--proto", "UDP"], false),
            (&["--backend", "10.244.1.2:80"], true),
            (&["--backend", "192.168.49.2"], false),
            (&["--state", "closing,established"], true),
            (&["--state", "closing"], false),
            (&["--via", "snat"], true),
            (&["--via", "local,DSR"], false),
        ] {
            assert_eq!(filter(words).matches(&flow()), matches, "{words:?}");
        }
    }

    #[test]
    fn what_has_no_backend_is_not_found_by_one() {
        let refused = Flow {
            backend: None,
            path: Path::Refused,
            ..flow()
        };
        assert!(!filter(&["--backend", "10.244.1.2"]).matches(&refused));
        assert!(filter(&["--via", "refused"]).matches(&refused));
    }

    #[test]
    fn a_family_is_asked_for_as_a_whole() {
        assert!(filter(&["--family", "ipv6"]).wants("IPv6"));
        assert!(!filter(&["--family", "ipv6"]).wants("IPv4"));
        assert!(filter(&[]).wants("IPv4"));
    }

    #[test]
    fn an_address_stands_with_or_without_a_port() {
        for (text, found) in [
            ("10.0.0.1", Some((4, None))),
            ("10.0.0.1:80", Some((4, Some(80)))),
            ("fd00::1", Some((6, None))),
            ("[fd00::1]", Some((6, None))),
            ("[fd00::1]:80", Some((6, Some(80)))),
            ("web", None),
            ("10.0.0.1:http", None),
        ] {
            let peer = text.parse::<Peer>().ok();
            let told = peer.map(|peer| (if peer.addr.is_ipv4() { 4 } else { 6 }, peer.port));
            assert_eq!(told, found, "{text}");
        }
    }
}
