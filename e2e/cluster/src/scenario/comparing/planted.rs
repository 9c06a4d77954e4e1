//! Differences of every kind.

use std::{collections::BTreeSet, net::SocketAddr};

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::services::name;
use crate::kube_proxy::desired::{Endpoints, Protocol, ServicePort};

/// What of a difference is looked at; who has what is in the unit tests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    what: String,
    /// Maps hold no names: what kpr alone has is without one while its agent is down.
    service: Option<String>,
    frontend: SocketAddr,
    protocol: String,
}

/// Where a port of a Service is reached.
#[derive(Clone, Copy)]
enum At {
    ClusterIp,
    NodePort,
    ExternalIp,
    LoadBalancer,
}
use At::{ClusterIp, ExternalIp, LoadBalancer, NodePort};

impl Difference {
    fn of(what: &str, port: &ServicePort, at: At) -> Result<Self> {
        let (address, number) = match at {
            ClusterIp => (port.cluster_ip, port.port),
            ExternalIp => (*port.external_ips.first().context("an external IP")?, port.port),
            LoadBalancer => (*port.load_balancer_ips.first().context("a load balancer")?, port.port),
            NodePort => {
                let any: SocketAddr = if port.cluster_ip.is_ipv4() {
                    "0.0.0.0:0"
                } else {
                    "[::]:0"
                }
                .parse()?;
                (any.ip(), port.node_port.context("a NodePort")?)
            }
        };
        Ok(Self {
            what: what.to_owned(),
            service: Some(port.id()),
            frontend: SocketAddr::new(address, number),
            protocol: port.protocol.as_str().to_ascii_uppercase(),
        })
    }

    fn without_name(self) -> Self {
        Self { service: None, ..self }
    }
}

/// What is done to the ports of a Service, and what it makes different.
struct Plant {
    index: usize,
    port: &'static str,
    change: fn(&mut ServicePort),
    different: &'static [(&'static str, At)],
}

const OTHER_BACKEND: &str = "10.244.9.9:8080";

/// See [`super::services::create`] for what kind of Service has which number.
const PLANTS: &[Plant] = &[
    Plant {
        index: 5,
        port: "http",
        change: |port| port.endpoints.cluster[0] = OTHER_BACKEND.parse().unwrap_or(port.endpoints.cluster[1]),
        different: &[("backends", ClusterIp)],
    },
    Plant {
        index: 15,
        port: "dns",
        change: |port| port.endpoints.cluster.truncate(2),
        different: &[("backends", ClusterIp)],
    },
    Plant {
        index: 3,
        port: "dns",
        change: |port| port.affinity_seconds = None,
        different: &[("affinity", ClusterIp), ("affinity", ExternalIp)],
    },
    Plant {
        index: 8,
        port: "dns",
        change: |port| port.affinity_seconds = Some(900),
        different: &[("affinity", ClusterIp), ("affinity", ExternalIp)],
    },
    Plant {
        index: 1,
        port: "http",
        change: |port| port.external_local = true,
        different: &[("trafficPolicy", NodePort), ("backends", NodePort)],
    },
    Plant {
        index: 4,
        port: "http",
        change: |port| port.internal_local = false,
        different: &[("trafficPolicy", ClusterIp), ("backends", ClusterIp)],
    },
    Plant {
        index: 2,
        port: "http",
        change: |port| port.source_ranges.truncate(1),
        different: &[("sourceRanges", LoadBalancer)],
    },
    Plant {
        index: 7,
        port: "http",
        change: |port| port.endpoints.cluster.truncate(2),
        different: &[
            ("backends", ClusterIp),
            ("backendsFromNode", LoadBalancer),
            ("backendsFromNode", NodePort),
        ],
    },
    Plant {
        index: 25,
        port: "http",
        change: |port| port.endpoints = Endpoints::default(),
        different: &[("backends", ClusterIp)],
    },
    // Without an endpoint on this node: that others have some is the difference between a drop and a refusal.
    Plant {
        index: 87,
        port: "http",
        change: |port| port.endpoints = Endpoints::default(),
        different: &[
            ("backends", ClusterIp),
            ("withoutBackends", LoadBalancer),
            ("withoutBackends", NodePort),
        ],
    },
];

/// Changes the ports of both families, and returns the differences that are there then.
pub(super) fn plant(ports: &mut [Vec<ServicePort>; 2]) -> Result<BTreeSet<Difference>> {
    let mut different = BTreeSet::new();
    let [v4, v6] = ports;
    for plant in PLANTS {
        let port = find(v4, plant.index, plant.port)?;
        for (what, at) in plant.different {
            different.insert(Difference::of(what, port, *at)?);
        }
        (plant.change)(port);
    }

    let port = find(v6, 30, "http")?;
    port.endpoints.cluster.truncate(1);
    different.insert(Difference::of("backends", port, ClusterIp)?);

    // Another number: each has one that the other has not.
    let is_free = |number: &u16| v4.iter().all(|port| port.node_port != Some(*number));
    let free = (30_000..=32_767).rev().find(is_free).context("no number is free")?;
    let port = find(v4, 11, "http")?;
    different.insert(Difference::of("frontend", port, NodePort)?.without_name());
    port.node_port = Some(free);
    different.insert(Difference::of("frontend", port, NodePort)?);

    // One that kube-proxy does not have, and one that it alone has.
    let gone = name(0);
    for port in v4.iter().filter(|port| port.name == gone) {
        different.insert(Difference::of("frontend", port, ClusterIp)?.without_name());
    }
    v4.retain(|port| port.name != gone);
    let extra = ServicePort {
        cluster_ip: [10, 96, 255, 77].into(),
        protocol: Protocol::Udp,
        endpoints: Endpoints {
            cluster: vec![OTHER_BACKEND.parse()?],
            local: Vec::new(),
        },
        ..ServicePort::named("default", "extra", "sig")
    };
    different.insert(Difference::of("frontend", &extra, ClusterIp)?);
    v4.push(extra);
    Ok(different)
}

fn find<'p>(ports: &'p mut [ServicePort], index: usize, port: &str) -> Result<&'p mut ServicePort> {
    let name = name(index);
    let found = ports
        .iter_mut()
        .find(|candidate| candidate.name == name && candidate.port_name == port);
    found.with_context(|| format!("no port {port} of {name}"))
}
