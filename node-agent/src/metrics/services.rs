//! What Services are asked and answer, where somebody wants it counted: read from the maps when somebody asks.

use std::{fmt, sync::Arc};

use kpr_abi::ServiceCount;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};
use tokio::sync::watch;
use tracing::warn;

use super::writer::{Label, Writer};
use crate::{
    agent::{CountedPort, CountedPorts, Snapshot},
    datapath::{CountedFrontends, Error},
};

/// Reads what programs have counted.
pub type ReadCounts = Box<dyn Fn() -> Result<CountedFrontends, Error> + Send + Sync>;

/// The counts of Service ports.
pub(super) struct ServicePorts {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    read: ReadCounts,
}

impl ServicePorts {
    pub(super) fn new(snapshots: watch::Receiver<Arc<Snapshot>>, read: ReadCounts) -> Self {
        Self { snapshots, read }
    }
}

impl fmt::Debug for ServicePorts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServicePorts").finish_non_exhaustive()
    }
}

impl Collector for ServicePorts {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let counted = self.snapshots.borrow().counted.clone();
        let Some(counted) = counted else { return Ok(()) };
        let counts = (self.read)().unwrap_or_else(|failed| {
            warn!("what Services are asked and answer can't be told: {failed}");
            CountedFrontends::new()
        });
        write(&counted, &counts, &mut Writer::new(encoder))
    }
}

/// What a label says of a part of a metric, and the part.
type Part = (&'static str, fn(&ServiceCount) -> u64);

/// Name, help, and the label by which it has two parts.
const METRICS: [(&str, &str, &str, [Part; 2]); 3] = [
    (
        "kpr_service_connections",
        "Connections that were led to a backend: sockets of this node and its pods, and flows packet by packet",
        "path",
        [("socket", |count| count.sockets), ("packet", |count| count.flows)],
    ),
    (
        "kpr_service_packets",
        "Packets of flows; those of sockets go by no program",
        "direction",
        [
            ("request", |count| count.request_packets),
            ("reply", |count| count.reply_packets),
        ],
    ),
    (
        "kpr_service_bytes",
        "Bytes of these packets, IP headers included",
        "direction",
        [
            ("request", |count| count.request_bytes),
            ("reply", |count| count.reply_bytes),
        ],
    ),
];

fn write(counted: &CountedPorts, counts: &CountedFrontends, writer: &mut Writer) -> fmt::Result {
    let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
    writer.gauges(
        "kpr_service_ports",
        "Service ports, by whether what they are asked and answer is counted",
        [("yes", counted.ports.len()), ("no", counted.left_out)].map(|(is, n)| ([("counted", is)], number(n))),
    )?;
    let sums: Vec<_> = counted.ports.iter().map(|port| (port, sum(port, counts))).collect();
    for (name, help, label, parts) in METRICS {
        let values = sums
            .iter()
            .flat_map(|(port, count)| parts.map(|(part, of)| (labels(port, (label, part)), of(count))));
        writer.counters(name, help, values)?;
    }
    Ok(())
}

/// What was counted of a port: of all its frontends.
fn sum(port: &CountedPort, counts: &CountedFrontends) -> ServiceCount {
    let mut sum = ServiceCount::default();
    for frontend in &port.frontends {
        if let Some(count) = counts.get(&(*frontend, port.protocol)) {
            sum += *count;
        }
    }
    sum
}

/// Labels of a Service port, and one that says what of it.
fn labels<'a>(port: &'a CountedPort, of: Label<'a>) -> [Label<'a>; 5] {
    [
        ("namespace", &port.name.service.namespace),
        ("service", &port.name.service.name),
        ("port", &port.name.port),
        ("protocol", port.protocol.name()),
        of,
    ]
}
