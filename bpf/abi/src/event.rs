//! Events: what the programs tell of packets and socket calls, as long as somebody listens.
//!
//! Only the object `kpr-bpf-events` has the maps named here, and the code that fills them; the programs that a node runs while nobody listens
//! have neither.

use crate::{Be16, layout::layout, reason::Reason};

/// What happened to a packet or a socket call, and how far the programs had come with it.
///
/// Addresses are of [`Event::family`]: of IPv4's, only the first word counts. What is not known, or has no meaning, is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Event {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`.
    pub time: u64,
    /// The cgroup of the process, of a socket call: the inode of its directory.
    pub cgroup: u64,
    /// The network namespace of the socket (`SO_NETNS_COOKIE`).
    pub netns: u64,
    /// Who asks. Sockets mostly have no address yet: unspecified.
    pub client: [u32; 4],
    /// What it asks for.
    pub frontend: [u32; 4],
    /// The chosen backend.
    pub backend: [u32; 4],
    /// The source address that the backend sees.
    pub source: [u32; 4],
    /// Name of the thread, of a socket call.
    pub process: [u8; 16],
    /// Port of [`Event::client`].
    pub client_port: Be16,
    /// Port of [`Event::frontend`].
    pub frontend_port: Be16,
    /// Port of [`Event::backend`].
    pub backend_port: Be16,
    /// Port of [`Event::source`]: of SNAT, if it is not the client's.
    pub source_port: Be16,
    /// A [`Reason`], or [`NOTHING`].
    pub what: u32,
    /// Interface index of the device that the packet passes.
    pub device: u32,
    /// The same of the device that it leaves by.
    pub out: u32,
    /// [`ServiceValue::id`](crate::ServiceValue::id) of the frontend.
    pub service: u32,
    /// Its [`flags`](crate::service::flags).
    pub service_flags: u32,
    /// First slot of the list that the backend was chosen from.
    pub base: u32,
    /// How many slots the list has.
    pub len: u32,
    /// Id of the backend.
    pub backend_id: u32,
    /// Process of a socket call.
    pub pid: u32,
    /// One in so many is told.
    pub sample: u32,
    /// [`step`], or-ed.
    pub steps: u32,
    /// [`hook`].
    pub hook: u8,
    /// 4 or 6.
    pub family: u8,
    /// IP protocol number.
    pub proto: u8,
    /// [`action`](crate::flow::action) of the flow.
    pub action: u8,
}

/// [`Event::what`] of a packet that nothing is counted for.
pub const NOTHING: u32 = u32::MAX;

/// Where it happened.
pub mod hook {
    /// A packet from the network.
    pub const INGRESS: u8 = 1;
    /// A packet from a pod.
    pub const POD_INGRESS: u8 = 2;
    /// A packet to the network, or to a pod.
    pub const EGRESS: u8 = 3;
    /// A packet from the network, before there is a socket buffer for it.
    pub const XDP: u8 = 4;
    /// `connect(2)`.
    pub const CONNECT: u8 = 5;
    /// `sendmsg(2)`, `sendto(2)`.
    pub const SENDMSG: u8 = 6;
    /// `bind(2)`.
    pub const BIND: u8 = 7;
}

/// What the programs went through.
pub mod step {
    /// The packet has a tuple.
    pub const TUPLE: u32 = 1;
    /// It is of a flow that is known, or was made for it: the backend and the translation are the flow's.
    pub const FLOW: u32 = 1 << 1;
    /// It goes from a backend to a client.
    pub const REPLY: u32 = 1 << 2;
    /// A frontend was found for it.
    pub const FRONTEND: u32 = 1 << 3;
    /// That frontend is on any address of the node.
    pub const ANY_ADDRESS: u32 = 1 << 4;
    /// There is a list of backends that may be chosen.
    pub const CANDIDATES: u32 = 1 << 5;
    /// The client is in the frontend's source ranges, or it has none.
    pub const ADMITTED: u32 = 1 << 6;
    /// A backend was chosen.
    pub const CHOSEN: u32 = 1 << 7;
    /// A flow was made for it.
    pub const BEGAN: u32 = 1 << 8;
    /// It came encapsulated from another node.
    pub const ENCAPSULATED: u32 = 1 << 9;
}

/// Which events are told: the one entry of [`WANTED`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Wanted {
    /// Of which reasons: bit by [`Reason`].
    pub reasons: u64,
    /// One in so many; 0: none.
    pub sample: u32,
    /// Always 0.
    pub zero: u32,
}

impl Wanted {
    /// Every event.
    pub const ALL: Self = Self {
        reasons: u64::MAX,
        sample: 1,
        zero: 0,
    };
}

const _: () = assert!(Reason::COUNT <= u64::BITS);

/// Events on their way to the agent: ring buffer of [`Event`].
pub const EVENTS: &str = "EVENTS";
/// How many events found no room there: per-CPU array of one `u64`.
pub const LOST: &str = "EVENTS_LOST";
/// Which events are told: array of one [`Wanted`].
pub const WANTED: &str = "EVENTS_WANTED";
/// The packet that a CPU handles, or has handled last: per-CPU array of one [`Event`].
pub const RECORD: &str = "EVENTS_RECORD";

layout!(Event, size 160, align 8, fields [u64, u64, u64, [u32; 4], [u32; 4], [u32; 4], [u32; 4], [u8; 16], Be16, Be16, Be16, Be16, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u8, u8, u8, u8]);
layout!(Wanted, size 16, align 8, fields [u64, u32, u32]);
