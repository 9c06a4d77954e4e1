//! Which questions a check asks. Pure.

use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
};

use kpr_check::Protocol;

use super::{
    cluster::{Placed, Served, Service},
    objects,
    row::{Check, Client, Expected, From, Row, Vantage},
};

/// All questions: in the order of what is checked, then of who asks.
pub(super) fn rows(served: &Served, outside: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for asking in clients(served) {
        rows.extend(of_client(served, &asking));
    }
    if outside {
        rows.extend(node_ports(served, &Asking::OUTSIDE));
    }
    // Stable: what one client asks of one kind stays together.
    rows.sort_by_key(|row| (row.check, row.protocol, row.target.is_ipv6(), row.from.vantage));
    rows
}

/// Who asks, and from which node of the list.
struct Asking {
    from: From,
    node: Option<usize>,
}

impl Asking {
    const OUTSIDE: Self = Self {
        from: From {
            vantage: Vantage::Outside,
            node: None,
            client: Client::Here,
        },
        node: None,
    };
}

fn clients(served: &Served) -> Vec<Asking> {
    let asking = |vantage, node: usize, client| Asking {
        from: From {
            vantage,
            node: Some(served.nodes[node].name.clone()),
            client,
        },
        node: Some(node),
    };
    let mut clients: Vec<_> = served
        .clients
        .iter()
        .map(|pod| asking(Vantage::Pods, pod.node, Client::Pod(pod.name.clone())))
        .collect();
    for node in 0..served.nodes.len() {
        let client = match &served.node_clients {
            Ok(pods) => match pods.iter().find(|pod| pod.node == node) {
                Some(pod) => Client::Pod(pod.name.clone()),
                None => Client::NoPod("there is no pod on its network".to_owned()),
            },
            Err(reason) => Client::NoPod(reason.clone()),
        };
        clients.push(asking(Vantage::Nodes, node, client));
    }
    clients
}

fn of_client(served: &Served, asking: &Asking) -> Vec<Row> {
    let mut rows = Vec::new();
    let all = |family: IpAddr| servers(served, family, None);
    for (name, check, protocols) in [
        (
            objects::CLUSTER_IP,
            Check::ClusterIp,
            &[Protocol::Tcp, Protocol::Udp][..],
        ),
        (objects::STICKY, Check::Affinity, &[Protocol::Tcp]),
        (objects::INTERNAL_LOCAL, Check::InternalLocal, &[Protocol::Tcp]),
        (objects::NOBODY, Check::NoEndpoints, &[Protocol::Tcp]),
    ] {
        for &address in cluster_ips(served, name) {
            for &protocol in protocols {
                let expected = match check {
                    Check::Affinity => Expected::Same(all(address)),
                    Check::InternalLocal => Expected::OneOf(servers(served, address, asking.node), all(address).len()),
                    Check::NoEndpoints => Expected::Refused,
                    _ => Expected::Each(all(address)),
                };
                rows.push(Row {
                    check,
                    protocol,
                    from: asking.from.clone(),
                    target: SocketAddr::new(address, objects::PORT),
                    via: None,
                    expected,
                    not_behind: Vec::new(),
                });
            }
        }
    }
    rows.extend(node_ports(served, asking));
    rows
}

/// Both Services with node ports, through every node.
fn node_ports(served: &Served, asking: &Asking) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, check, protocols) in [
        (objects::NODE_PORT, Check::NodePort, &[Protocol::Tcp, Protocol::Udp][..]),
        (objects::NODE_PORT_LOCAL, Check::ExternalLocal, &[Protocol::Tcp]),
    ] {
        let Some(service) = service(served, name) else { continue };
        for (index, node) in served.nodes.iter().enumerate() {
            for &address in node.addresses.iter().filter(|address| has_family(service, **address)) {
                let all = servers(served, address, None);
                let is_own = asking.node == Some(index);
                // Whether a pod that asks another node is a client from outside is left open: kube-proxy goes by its address.
                if check == Check::ExternalLocal && asking.from.vantage == Vantage::Pods && !is_own {
                    continue;
                }
                let (expected, not_behind) = match check {
                    // Who asks his own node is no client from outside: the policy is not for him.
                    Check::ExternalLocal if !is_own => (
                        Expected::OneOf(servers(served, address, Some(index)), all.len()),
                        node.addresses.clone(),
                    ),
                    Check::ExternalLocal => (Expected::OneOf(all.clone(), all.len()), Vec::new()),
                    _ => (Expected::Each(all), Vec::new()),
                };
                for &protocol in protocols {
                    let Some(port) = node_port(service, protocol) else {
                        continue;
                    };
                    rows.push(Row {
                        check,
                        protocol,
                        from: asking.from.clone(),
                        target: SocketAddr::new(address, port),
                        via: Some(node.name.clone()),
                        expected: expected.clone(),
                        not_behind: not_behind.clone(),
                    });
                }
            }
        }
    }
    rows
}

/// Servers with an address of this family: all, or those on a node.
fn servers(served: &Served, family: IpAddr, node: Option<usize>) -> BTreeSet<String> {
    let is_meant = |server: &&Placed| {
        let has_address = server
            .addresses
            .iter()
            .any(|address| address.is_ipv4() == family.is_ipv4());
        has_address && node.is_none_or(|node| server.node == node)
    };
    let servers = served.servers.iter().filter(is_meant);
    servers.map(|server| server.name.clone()).collect()
}

fn service<'s>(served: &'s Served, name: &str) -> Option<&'s Service> {
    served.services.iter().find(|service| service.name == name)
}

fn cluster_ips<'s>(served: &'s Served, name: &str) -> &'s [IpAddr] {
    service(served, name).map_or(&[], |service| &service.cluster_ips)
}

fn has_family(service: &Service, address: IpAddr) -> bool {
    let mut own = service.cluster_ips.iter();
    own.any(|own| own.is_ipv4() == address.is_ipv4())
}

fn node_port(service: &Service, protocol: Protocol) -> Option<u16> {
    let name = protocol.to_string().to_lowercase();
    let mut ports = service.node_ports.iter();
    ports.find(|(port, _)| *port == name).map(|(_, port)| *port)
}

#[cfg(test)]
mod tests {
    use super::{super::nodes::Node, *};

    /// Two nodes with both families, and Services with the first or with both.
    fn served(families: usize) -> Served {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let nodes = ["node-a", "node-b"].map(|name| Node {
            name: name.to_owned(),
            addresses: match name {
                "node-a" => vec![ip("192.168.49.2"), ip("fd00::2")],
                _ => vec![ip("192.168.49.3"), ip("fd00::3")],
            },
            image: "kpr".to_owned(),
        });
        let placed = |prefix: &str| {
            (0..2)
                .map(|node| Placed {
                    name: format!("{prefix}-{node}"),
                    node,
                    addresses: vec![ip("10.244.0.9"), ip("fd01::9")],
                })
                .collect::<Vec<_>>()
        };
        let service = |name: &str, node_ports: &[(&str, u16)]| Service {
            name: name.to_owned(),
            cluster_ips: [ip("10.96.0.9"), ip("fd02::9")][..families].to_vec(),
            node_ports: node_ports
                .iter()
                .map(|(name, port)| ((*name).to_owned(), *port))
                .collect(),
        };
        Served {
            nodes: nodes.to_vec(),
            servers: placed("server"),
            clients: placed("client"),
            node_clients: Ok(placed("node")),
            services: vec![
                service(objects::CLUSTER_IP, &[]),
                service(objects::STICKY, &[]),
                service(objects::INTERNAL_LOCAL, &[]),
                service(objects::NODE_PORT, &[("tcp", 30080), ("udp", 30053)]),
                service(objects::NODE_PORT_LOCAL, &[("tcp", 30081), ("udp", 30054)]),
                service(objects::NOBODY, &[]),
            ],
        }
    }

    fn set(servers: &[&str]) -> BTreeSet<String> {
        servers.iter().map(ToString::to_string).collect()
    }

    fn count(rows: &[Row], check: Check, vantage: Vantage) -> usize {
        rows.iter()
            .filter(|row| row.check == check && row.from.vantage == vantage)
            .count()
    }

    #[test]
    fn every_client_asks_for_every_kind_and_the_outside_for_node_ports() {
        let rows = rows(&served(1), true);
        for (check, expected) in [
            (Check::ClusterIp, [4, 4, 0]),
            (Check::Affinity, [2, 2, 0]),
            (Check::InternalLocal, [2, 2, 0]),
            (Check::NoEndpoints, [2, 2, 0]),
            // Two clients, two nodes, two protocols.
            (Check::NodePort, [8, 8, 4]),
            // Pods ask their own node.
            (Check::ExternalLocal, [2, 4, 2]),
        ] {
            let asked = [Vantage::Pods, Vantage::Nodes, Vantage::Outside].map(|vantage| count(&rows, check, vantage));
            assert_eq!(asked, expected, "{check}");
        }
    }

    #[test]
    fn services_of_both_families_are_asked_in_both() {
        let (one, both) = (rows(&served(1), true), rows(&served(2), true));
        assert!(one.iter().all(|row| row.target.is_ipv4()));
        assert_eq!(both.len(), 2 * one.len());
    }

    #[test]
    fn local_policies_lead_to_the_node_that_is_meant() {
        let rows = rows(&served(1), true);
        let expected = |check: Check, vantage: Vantage, node: Option<&str>, via: Option<&str>| {
            let row = rows.iter().find(|row| {
                row.check == check
                    && row.from.vantage == vantage
                    && row.from.node.as_deref() == node
                    && row.via.as_deref() == via
            });
            let row = row.expect("a row");
            (row.expected.clone(), row.not_behind.is_empty())
        };
        let only = |server: &str| Expected::OneOf(set(&[server]), 2);
        let any = Expected::OneOf(set(&["server-0", "server-1"]), 2);
        let (pods, nodes, outside) = (Vantage::Pods, Vantage::Nodes, Vantage::Outside);
        assert_eq!(
            expected(Check::InternalLocal, nodes, Some("node-b"), None),
            (only("server-1"), true)
        );
        let external = Check::ExternalLocal;
        assert_eq!(
            expected(external, nodes, Some("node-a"), Some("node-b")),
            (only("server-1"), false)
        );
        assert_eq!(expected(external, pods, Some("node-a"), Some("node-a")), (any, true));
        assert_eq!(
            expected(external, outside, None, Some("node-a")),
            (only("server-0"), false)
        );
    }

    #[test]
    fn where_no_pod_may_have_the_nodes_network_its_rows_say_why() {
        let mut served = served(1);
        served.node_clients = Err("forbidden".to_owned());
        let rows = rows(&served, false);
        let from_nodes: Vec<_> = rows.iter().filter(|row| row.from.vantage == Vantage::Nodes).collect();
        assert!(!from_nodes.is_empty());
        for row in from_nodes {
            assert_eq!(row.from.client, Client::NoPod("forbidden".to_owned()));
        }
    }
}
