//! A client that sticks to a backend, in words.

use std::net::{IpAddr, SocketAddr};

use jiff::SignedDuration;
use serde::Serialize;

use crate::{
    cli::{age::span, service, style::notable, table::Table},
    datapath::dump::Client,
};

/// A client of a service port, and its backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Row {
    /// "IPv4" or "IPv6".
    family: &'static str,
    /// Its address; none for sockets of this node and its pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<IpAddr>,
    /// The network namespace of its socket, as `SO_NETNS_COOKIE` has it; none for clients outside.
    #[serde(skip_serializing_if = "Option::is_none")]
    netns: Option<u64>,
    /// Whether that is the node's own.
    this_node: bool,
    /// What the service port is called, if the agent was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// The service port's frontends, which share their clients.
    frontends: Vec<String>,
    backend_id: u32,
    /// None if the Service no longer has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<SocketAddr>,
    expires_in_seconds: u32,
}

impl Row {
    /// `frontends`: those of the client's group. None if the client's time is over. `own_netns`: the node's own namespace.
    pub(super) fn new(
        family: &'static str,
        client: &Client,
        frontends: &[&service::Entry],
        now: u32,
        own_netns: Option<u64>,
    ) -> Option<Self> {
        let seconds = frontends.iter().find_map(|frontend| frontend.affinity_seconds)?;
        let expires_in_seconds = seconds
            .checked_sub(now.saturating_sub(client.last_used))
            .filter(|&left| left > 0)?;
        let mut backends = frontends.iter().flat_map(|frontend| &frontend.backends);
        let netns = Some(client.netns).filter(|&netns| netns != 0);
        Some(Self {
            family,
            client: client.address,
            netns,
            this_node: netns.is_some() && netns == own_netns,
            service: frontends.iter().find_map(|frontend| frontend.name()),
            frontends: frontends
                .iter()
                .map(|frontend| format!("{}/{}", frontend.frontend, frontend.protocol))
                .collect(),
            backend_id: client.backend,
            backend: backends
                .find(|backend| backend.id == client.backend)
                .map(|found| found.address),
            expires_in_seconds,
        })
    }

    fn client(&self) -> String {
        match (self.client, self.netns) {
            (Some(client), _) => client.to_string(),
            (None, _) if self.this_node => "this node".to_owned(),
            (None, Some(netns)) => format!("netns {netns}"),
            (None, None) => "unknown".to_owned(),
        }
    }

    /// Its name, else one of its frontends.
    fn service(&self, is_wide: bool) -> String {
        match (&self.service, self.frontends.as_slice()) {
            (Some(name), frontends) if is_wide => format!("{name} ({})", frontends.join(", ")),
            (Some(name), _) => name.clone(),
            (None, frontends) if is_wide => frontends.join(", "),
            (None, [first]) => first.clone(),
            (None, [first, others @ ..]) => format!("{first} and {} more", others.len()),
            (None, []) => "unknown".to_owned(),
        }
    }
}

/// The table of `kpr affinity list`, without a client.
pub(super) fn table() -> Table {
    Table::new(["Client", "Service", "Backend", "Expires in"])
}

/// A client's line in it.
pub(super) fn cells(row: &Row, is_wide: bool) -> [String; 4] {
    [
        row.client(),
        row.service(is_wide),
        row.backend.map_or_else(
            || notable(&format!("{} (gone)", row.backend_id)),
            |backend| backend.to_string(),
        ),
        span(SignedDuration::from_secs(row.expires_in_seconds.into())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{
        service::entry::{Backend, Entry},
        style::plain,
    };

    const NOW: u32 = 50_000;
    const OWN: u64 = 1;

    /// A frontend of the web service with this affinity, and a backend of id 7.
    fn frontend(address: &str, seconds: Option<u32>) -> Entry {
        Entry {
            family: "IPv4",
            id: 3,
            frontend: address.parse().unwrap(),
            protocol: "TCP".into(),
            service: None,
            port_name: None,
            service_type: "ClusterIP",
            external_traffic_policy_local: false,
            internal_traffic_policy_local: false,
            affinity_seconds: seconds,
            affinity_group: 3,
            maglev_table_size: None,
            source_ranges: Vec::new(),
            backends: vec![Backend {
                address: "10.244.0.3:80".parse().unwrap(),
                protocol: "TCP".into(),
                id: 7,
                state: "active",
                local: true,
            }],
            counted: None,
        }
    }

    fn client(address: Option<&str>, netns: u64, backend: u32, ago: u32) -> Client {
        Client {
            address: address.map(|address| address.parse().unwrap()),
            netns,
            group: 3,
            backend,
            last_used: NOW - ago,
        }
    }

    fn lines(frontends: &[Entry], clients: &[Client], is_wide: bool) -> String {
        let frontends: Vec<_> = frontends.iter().collect();
        let mut table = table();
        let rows = clients
            .iter()
            .filter_map(|client| Row::new("IPv4", client, &frontends, NOW, Some(OWN)));
        rows.for_each(|row| table.row(cells(&row, is_wide)));
        plain(&table.to_string())
    }

    #[test]
    fn clients_are_outside_on_this_node_or_in_a_pod_and_their_backend_may_be_gone() {
        let frontends = [
            frontend("10.96.1.1:80", Some(10_800)),
            frontend("0.0.0.0:30080", Some(10_800)),
        ];
        let clients = [
            client(Some("198.51.100.7"), 0, 7, 60),
            client(None, OWN, 7, 10_000),
            client(None, 4711, 9, 0),
            client(Some("198.51.100.8"), 0, 7, 10_800),
        ];
        let expected = "\
Client         Service                      Backend         Expires in
198.51.100.7   10.96.1.1:80/TCP and 1 more   10.244.0.3:80   2h59m
this node      10.96.1.1:80/TCP and 1 more   10.244.0.3:80   13m20s
netns 4711     10.96.1.1:80/TCP and 1 more   9 (gone)        3h0m
"
        .replace("Service                      B", "Service                       B");
        assert_eq!(lines(&frontends, &clients, false), expected);
    }

    #[test]
    fn a_service_port_that_has_a_name_goes_by_it() {
        let named = Entry {
            service: Some("default/web".into()),
            port_name: Some("http".into()),
            ..frontend("10.96.1.1:80", Some(60))
        };
        let clients = [client(Some("198.51.100.7"), 0, 7, 0)];
        let line = |is_wide| {
            lines(std::slice::from_ref(&named), &clients, is_wide)
                .lines()
                .nth(1)
                .unwrap()
                .to_owned()
        };
        assert_eq!(line(false), "198.51.100.7   default/web:http   10.244.0.3:80   1m0s");
        assert_eq!(
            line(true),
            "198.51.100.7   default/web:http (10.96.1.1:80/TCP)   10.244.0.3:80   1m0s"
        );
    }

    #[test]
    fn where_affinity_was_switched_off_no_client_counts() {
        let clients = [client(Some("198.51.100.7"), 0, 7, 0)];
        assert_eq!(
            lines(&[frontend("10.96.1.1:80", None)], &clients, false)
                .lines()
                .count(),
            1
        );
    }
}
