//! The packet programs, packet in and packet out, byte by byte, in the kernel (`BPF_PROG_TEST_RUN`).
//!
//! Each test is a node of its own; needs root and the built eBPF object: `cargo xtask test --only bpf`.

mod icmp;
mod node_port;
mod packet;
mod restart;
mod rig;
