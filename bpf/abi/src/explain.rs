//! A socket call that nobody makes, for the programs to be asked what would become of it. Only the object `kpr-bpf-events` has it.

use crate::{Be16, layout::layout};

/// The call, and then where it was led to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct MadeUpCall {
    /// The network namespace that the socket would be in (`SO_NETNS_COOKIE`).
    pub netns: u64,
    /// The number that the kernel would have for the socket.
    pub number: u64,
    /// Where it is to be connected to. Of IPv4's, only the first word counts.
    pub addr: [u32; 4],
    /// The port there.
    pub port: Be16,
    /// The socket's protocol: TCP or UDP.
    pub proto: u8,
    /// Always 0.
    pub zero: u8,
    /// Why the call would be denied, a [`Reason`](crate::Reason); [`NOTHING`](crate::event::NOTHING): it would go on.
    pub denied: u32,
}

/// The call that is explained: array of one [`MadeUpCall`].
pub const CALL: &str = "EXPLAINED_CALL";

layout!(MadeUpCall, size 40, align 8, fields [u64, u64, [u32; 4], Be16, u8, u8, u32]);
