//! The packet programs, packet in and packet out, byte by byte, in the kernel (`BPF_PROG_TEST_RUN`).
//!
//! Each test is a node of its own; needs root and the built eBPF object: `cargo xtask test --only bpf`.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

mod affinity;
mod beside;
mod command;
mod detour;
mod dsr;
mod dsr6;
mod events;
mod explain;
mod families;
mod filter;
mod host_port;
mod icmp;
mod least_connections;
mod maglev;
mod node_port;
mod node_port6;
mod packet;
mod packet6;
mod pod;
mod restart;
mod rig;
mod sctp;
mod sctp6;
mod service_counts;
mod snat;
mod socket;
mod source_ranges;
mod sweep;
mod tunnel;
mod xdp;
