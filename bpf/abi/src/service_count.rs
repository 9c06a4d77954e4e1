//! What programs count of a frontend, where users ask for it (`spec.metrics.perService`).

use crate::layout::layout;

/// How many frontends of an address family can be counted.
pub const FRONTENDS: u32 = 16_384;

/// What one CPU has counted of a frontend. The agent makes the entry, with its frontend's [`ServiceKey`](crate::ServiceKey): what has none
/// is not counted.
///
/// Bytes are those of IP packets, headers included. Packets that the kernel has merged count as many as they were, with the headers of one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct ServiceCount {
    /// Flows that were led to a backend packet by packet.
    pub flows: u64,
    /// Sockets that were led to a backend when they connected, or sent their first datagram there. What they send and receive goes by no
    /// program.
    pub sockets: u64,
    /// Packets of flows, from clients.
    pub request_packets: u64,
    /// Bytes of them.
    pub request_bytes: u64,
    /// Packets of flows, from backends.
    pub reply_packets: u64,
    /// Bytes of them.
    pub reply_bytes: u64,
}

impl core::ops::AddAssign for ServiceCount {
    /// Counts of several CPUs, or frontends.
    fn add_assign(&mut self, other: Self) {
        let Self {
            flows,
            sockets,
            request_packets,
            request_bytes,
            reply_packets,
            reply_bytes,
        } = other;
        self.flows += flows;
        self.sockets += sockets;
        self.request_packets += request_packets;
        self.request_bytes += request_bytes;
        self.reply_packets += reply_packets;
        self.reply_bytes += reply_bytes;
    }
}

layout!(ServiceCount, size 48, align 8, fields [u64, u64, u64, u64, u64, u64]);
