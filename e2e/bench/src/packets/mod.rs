//! kpr's packet programs against floor programs, in the kernel and without a network (`BPF_PROG_TEST_RUN`).
//!
//! Every run of a program sees a packet as it comes from the network: a program of the floor's object makes it so, and jumps to the
//! one that is measured. What that costs is measured in the same round, with a program that does nothing, and taken off both sides.

mod begin;
mod case;
pub(crate) mod floor;
mod flows;
pub(crate) mod frame;
mod rig;
mod run;
mod traffic;

use crate::{catalogue::Benchmark, results::Limit};

pub(crate) use run::run;

/// Flows in the tables of the large variants.
const MANY: u32 = 100_000;

/// What established packets are measured against.
const FLOOR: &str = "a program with the same parse, one hash look-up, the same packet changes and the same way out";
const FLOOR_LOCAL: &str = "a program with the same parse, one hash look-up and the same packet changes";
const FLOOR_MISS: &str = "parse and one hash look-up";
const FLOOR_BEGIN: &str = "a program with the same parse, one hash look-up, both entries of the flow inserted, the same packet \
                           changes and the same way out";

const fn packets(name: &'static str, what: &'static str, against: &'static str, limit: Option<f64>) -> Benchmark {
    Benchmark {
        name,
        what,
        against,
        unit: "ns",
        limit: match limit {
            Some(most) => Some(Limit::AtMost(most)),
            None => None,
        },
    }
}

/// All of them. Names say what is in the tables: `_100k` so many flows, and 10,000 Services.
pub(crate) const BENCHMARKS: [Benchmark; 18] = [
    packets(
        "tc_established",
        "a packet of a known flow, from outside to a NodePort with a remote backend: SNAT and redirect, one flow",
        FLOOR,
        Some(1.5),
    ),
    packets(
        "tc_established_100k",
        "a packet as of `tc_established`, each of another one of 100,000 flows",
        FLOOR,
        Some(1.5),
    ),
    packets(
        "tc_established_local",
        "a packet of a known flow, from outside to a NodePort with a local backend: DNAT, one flow",
        FLOOR_LOCAL,
        Some(1.5),
    ),
    packets(
        "tc_established_local_100k",
        "a packet as of `tc_established_local`, each of another one of 100,000 flows",
        FLOOR_LOCAL,
        Some(1.5),
    ),
    packets(
        "xdp_established",
        "a packet of a known flow, from outside to a NodePort with a remote backend: SNAT and out by the same device, one flow",
        FLOOR,
        Some(2.0),
    ),
    packets(
        "xdp_established_100k",
        "a packet as of `xdp_established`, each of another one of 100,000 flows",
        FLOOR,
        Some(2.0),
    ),
    packets(
        "xdp_reverse",
        "a packet that a remote backend answers: back to the client, by the same device, one flow",
        FLOOR,
        None,
    ),
    packets(
        "xdp_reverse_100k",
        "a packet as of `xdp_reverse`, each of another one of 100,000 flows",
        FLOOR,
        None,
    ),
    packets(
        "xdp_miss",
        "a packet that is no Service's, which XDP lets go up, always the same one",
        FLOOR_MISS,
        Some(1.25),
    ),
    packets(
        "xdp_miss_100k",
        "a packet as of `xdp_miss`, each from another one of 100,000 clients, with 100,000 flows in the tables",
        FLOOR_MISS,
        Some(1.25),
    ),
    packets(
        "reverse",
        "a packet that a remote backend answers: back to the client, one flow",
        FLOOR,
        None,
    ),
    packets(
        "reverse_100k",
        "a packet as of `reverse`, each of another one of 100,000 flows",
        FLOOR,
        None,
    ),
    packets(
        "reverse_local",
        "a packet that a local backend answers, at egress, one flow",
        FLOOR_LOCAL,
        None,
    ),
    packets(
        "reverse_local_100k",
        "a packet as of `reverse_local`, each of another one of 100,000 flows",
        FLOOR_LOCAL,
        None,
    ),
    packets(
        "tc_new_flow",
        "the first packet of a flow to a NodePort with 250 remote backends",
        FLOOR_BEGIN,
        None,
    ),
    packets(
        "tc_new_flow_100k",
        "a packet as of `tc_new_flow`, with 100,000 flows in the tables",
        FLOOR_BEGIN,
        None,
    ),
    packets(
        "miss",
        "a packet that is no Service's, always the same one",
        FLOOR_MISS,
        Some(1.25),
    ),
    packets(
        "miss_100k",
        "a packet as of `miss`, each from another one of 100,000 clients, with 100,000 flows in the tables",
        FLOOR_MISS,
        Some(1.25),
    ),
];
