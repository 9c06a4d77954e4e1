//! A backend in words.

use std::net::SocketAddr;

use kpr_abi::{Family, backend::flags};
use serde::Serialize;

use crate::{
    cli::{
        service::entry::{ACTIVE, ip, state},
        style::notable,
        table::Table,
    },
    datapath::dump::LoadedBackend,
    model::Protocol,
};

/// A backend, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Row {
    /// "IPv4" or "IPv6".
    pub family: &'static str,
    /// Stable id; each family counts for itself.
    pub id: u32,
    /// Address and target port.
    pub address: SocketAddr,
    /// "TCP", "UDP" or "SCTP".
    pub protocol: String,
    /// "active", "terminating" or "gone".
    pub state: &'static str,
    /// Whether it is on this node.
    pub local: bool,
    /// Whether its node takes encapsulated packets (DSR).
    pub dsr: bool,
    /// How many frontends lead to it.
    pub frontends: u32,
    /// Its connections from this node; none where they aren't counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
}

impl Row {
    /// As it stands in the map; which frontends lead to it is not known there.
    pub(super) fn new<F: Family>(backend: &LoadedBackend<F::Addr>) -> Self {
        let LoadedBackend { id, value, load } = *backend;
        let has = |flag| value.flags & flag != 0;
        Self {
            family: F::NAME,
            id,
            address: SocketAddr::new(ip::<F>(value.addr), value.port.host()),
            protocol: Protocol::name_of(value.proto),
            state: state(value.flags),
            local: has(flags::LOCAL),
            dsr: has(flags::DSR),
            frontends: 0,
            connections: Some(load),
        }
    }

    /// All of them. Where nobody has any connection, none are counted.
    pub(super) fn all(mut rows: Vec<Self>) -> Vec<Self> {
        if rows.iter().all(|row| row.connections == Some(0)) {
            for row in &mut rows {
                row.connections = None;
            }
        }
        rows
    }

    /// Address, port and protocol.
    pub(in crate::cli) fn place(&self) -> String {
        format!("{}/{}", self.address, self.protocol)
    }

    /// Its state, with a colour if it goes.
    pub(in crate::cli) fn coloured_state(&self) -> String {
        if self.state == ACTIVE {
            self.state.to_owned()
        } else {
            notable(self.state)
        }
    }

    /// Where it is, seen from this node.
    pub(in crate::cli) fn whereabouts(&self) -> String {
        if self.local { "local" } else { "remote" }.to_owned()
    }

    /// How many connections it has.
    pub(in crate::cli) fn count(&self) -> String {
        let count = self.connections;
        count.map_or_else(|| "not counted".to_owned(), |count| count.to_string())
    }
}

/// The table of `kpr backend list`.
pub(super) fn render(rows: &[Row], is_wide: bool) -> String {
    let header = ["ID", "Family", "Backend", "State", "Where", "Frontends", "Connections"];
    let mut table = Table::new(header.into_iter().chain(is_wide.then_some("Takes DSR")));
    for row in rows {
        let dsr = if row.dsr { "yes" } else { "no" };
        let cells = [
            row.id.to_string(),
            row.family.to_owned(),
            row.place(),
            row.coloured_state(),
            row.whereabouts(),
            row.frontends.to_string(),
            row.count(),
        ];
        table.row(cells.into_iter().chain(is_wide.then(|| dsr.to_owned())));
    }
    table.to_string()
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use std::net::Ipv4Addr;

    use kpr_abi::{BackendValue, Be16, V4, proto::TCP};

    use super::*;
    use crate::cli::style::plain;

    /// A backend of this id at 10.244.0.ID.
    pub(in crate::cli) fn row(id: u8, flags: u8, frontends: u32, load: u64) -> Row {
        let row = Row::new::<V4>(&LoadedBackend {
            id: id.into(),
            value: BackendValue {
                addr: Ipv4Addr::new(10, 244, 0, id).into(),
                port: Be16::new(80),
                proto: TCP,
                flags,
            },
            load,
        });
        Row { frontends, ..row }
    }

    #[test]
    fn each_backend_has_a_line_and_connections_where_they_are_counted() {
        let rows = Row::all(vec![
            row(3, flags::LOCAL, 2, 17),
            row(4, flags::TERMINATING, 0, 0),
            row(12, flags::DSR, 1, 4),
        ]);
        let expected = "\
ID   Family   Backend            State         Where    Frontends   Connections
3    IPv4     10.244.0.3:80/TCP    active        local    2           17
4    IPv4     10.244.0.4:80/TCP    terminating   remote   0           0
12   IPv4     10.244.0.12:80/TCP   active        remote   1           4
"
        .replace("Backend            ", "Backend              ");
        assert_eq!(plain(&render(&rows, false)), expected);
        let wide = plain(&render(&rows, true));
        assert!(
            wide.lines().next().unwrap().ends_with("Connections   Takes DSR"),
            "{wide}"
        );
        assert!(wide.lines().last().unwrap().ends_with("4             yes"), "{wide}");
    }

    #[test]
    fn where_nothing_is_counted_it_says_so_and_programs_get_no_number() {
        let rows = Row::all(vec![row(3, flags::LOCAL, 2, 0), row(4, 0, 1, 0)]);
        assert!(render(&rows, false).ends_with("1           not counted\n"));
        let json = serde_json::to_value(&rows).unwrap();
        assert_eq!(json[0].get("connections"), None);
        assert_eq!((&json[0]["local"], &json[0]["dsr"]), (&true.into(), &false.into()));
    }
}
