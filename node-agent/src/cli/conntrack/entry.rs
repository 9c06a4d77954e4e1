//! A flow in words.

use std::net::SocketAddr;

use jiff::SignedDuration;
use serde::Serialize;

use crate::{
    cli::{age::span, style::notable, table::Table},
    datapath::{Flow, FlowState, Path},
    model::Protocol,
};

/// A flow, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// "IPv4" or "IPv6".
    family: &'static str,
    /// "TCP", "UDP" or "SCTP".
    protocol: String,
    state: &'static str,
    client: SocketAddr,
    /// What the client asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    frontend: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend_id: Option<u32>,
    /// How packets get to the backend.
    via: &'static str,
    /// What the backend sees in the client's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<SocketAddr>,
    idle_seconds: u32,
    expires_in_seconds: u32,
    /// One of its two entries was evicted.
    half: bool,
}

impl Entry {
    pub(super) fn new(family: &'static str, flow: &Flow) -> Self {
        Self {
            family,
            protocol: Protocol::name_of(flow.protocol),
            state: flow.state.name(),
            client: flow.client,
            frontend: flow.frontend,
            backend: flow.backend,
            backend_id: Some(flow.backend_id).filter(|&id| id != 0),
            via: flow.path.name(),
            source: flow.source,
            idle_seconds: flow.idle,
            expires_in_seconds: flow.limit.saturating_sub(flow.idle),
            half: flow.is_half,
        }
    }
}

/// The table of `kpr conntrack list`, without a flow.
pub(super) fn table(is_wide: bool) -> Table {
    let header = [
        "Proto",
        "State",
        "Client",
        "Frontend",
        "Backend",
        "Via",
        "NAT source",
        "Idle",
    ];
    let wide = ["Expires in", "Backend ID", "Entries"].into_iter().filter(|_| is_wide);
    Table::new(header.into_iter().chain(wide))
}

/// A flow's line in it.
pub(super) fn cells(flow: &Flow, is_wide: bool) -> impl Iterator<Item = String> {
    let socket = |socket: Option<SocketAddr>| socket.map_or_else(|| "none".to_owned(), |socket| socket.to_string());
    let seconds = |seconds: u32| span(SignedDuration::from_secs(seconds.into()));
    let cells = [
        Protocol::name_of(flow.protocol),
        coloured(flow.state.name(), flow.state == FlowState::Reset),
        flow.client.to_string(),
        socket(flow.frontend),
        socket(flow.backend),
        coloured(flow.path.name(), matches!(flow.path, Path::Refused | Path::Held)),
        socket(flow.source),
        seconds(flow.idle),
    ];
    let entries = if flow.is_half { "half: one was evicted" } else { "whole" };
    let wide = [
        seconds(flow.limit.saturating_sub(flow.idle)),
        flow.backend_id.to_string(),
        entries.to_owned(),
    ];
    cells.into_iter().chain(wide.into_iter().filter(move |_| is_wide))
}

fn coloured(text: &str, is_notable: bool) -> String {
    if is_notable { notable(text) } else { text.to_owned() }
}

#[cfg(test)]
pub(super) mod tests {
    use kpr_abi::proto::{TCP, UDP};
    use serde_json::json;

    use super::*;
    use crate::cli::style::plain;

    fn place(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// A connection from outside to a NodePort, whose backend is on another node.
    pub(in crate::cli::conntrack) fn flow() -> Flow {
        Flow {
            protocol: TCP,
            client: place("198.51.100.7:40000"),
            frontend: Some(place("192.168.49.2:30080")),
            backend: Some(place("10.244.1.2:80")),
            backend_id: 4,
            source: Some(place("192.168.49.2:45001")),
            path: Path::Snat,
            state: FlowState::Established,
            idle: 5,
            limit: 86_400,
            is_half: false,
        }
    }

    fn some() -> [Flow; 3] {
        let local = Flow {
            protocol: UDP,
            path: Path::Local,
            source: None,
            idle: 125,
            limit: 120,
            is_half: true,
            ..flow()
        };
        let refused = Flow {
            path: Path::Refused,
            state: FlowState::Reset,
            backend: None,
            backend_id: 0,
            source: None,
            ..flow()
        };
        [flow(), local, refused]
    }

    fn render(is_wide: bool) -> String {
        let mut table = table(is_wide);
        for flow in &some() {
            table.row(cells(flow, is_wide));
        }
        plain(&table.to_string())
    }

    #[test]
    fn each_flow_has_a_line() {
        let expected = "\
Proto   State         Client               Frontend             Backend         Via       NAT source           Idle
TCP     established   198.51.100.7:40000   192.168.49.2:30080   10.244.1.2:80   SNAT      192.168.49.2:45001   5s
UDP     established   198.51.100.7:40000   192.168.49.2:30080   10.244.1.2:80   local     none                 2m5s
TCP     reset         198.51.100.7:40000   192.168.49.2:30080   none            refused   none                 5s
";
        assert_eq!(render(false), expected);
    }

    #[test]
    fn the_wide_table_tells_how_long_it_lasts_and_whether_it_is_whole() {
        let ends: Vec<_> = render(true)
            .lines()
            .map(|line| {
                line.split("Idle")
                    .last()
                    .unwrap()
                    .split("  ")
                    .filter(|word| !word.is_empty())
                    .count()
            })
            .collect();
        assert_eq!(ends, [3, 11, 11, 11]);
        assert!(
            render(true).contains("23h59m       4            whole\n"),
            "{}",
            render(true)
        );
        assert!(
            render(true).contains("0s           4            half: one was evicted\n"),
            "{}",
            render(true)
        );
    }

    #[test]
    fn programs_get_numbers_and_only_what_there_is() {
        let json = |flow: &Flow| serde_json::to_value(Entry::new("IPv4", flow)).unwrap();
        let [snat, local, refused] = some();
        assert_eq!(
            json(&snat),
            json!({
                "family": "IPv4", "protocol": "TCP", "state": "established", "client": "198.51.100.7:40000",
                "frontend": "192.168.49.2:30080", "backend": "10.244.1.2:80", "backendId": 4, "via": "SNAT",
                "source": "192.168.49.2:45001", "idleSeconds": 5, "expiresInSeconds": 86_395, "half": false,
            })
        );
        assert_eq!(
            (&json(&local)["half"], &json(&local)["expiresInSeconds"]),
            (&json!(true), &json!(0))
        );
        assert_eq!(json(&refused).get("backend"), None);
    }
}
