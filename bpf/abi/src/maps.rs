//! Names of the maps: in the object file, and as pins.

/// IPv4 frontends: hash of `ServiceKey<Addr4>` to `ServiceValue`.
pub const SERVICES4: &str = "SERVICES4";
/// IPv4 slot table: array of backend ids.
pub const SLOTS4: &str = "SLOTS4";
/// IPv4 backends by id: array of `BackendValue<Addr4>`.
pub const BACKENDS4: &str = "BACKENDS4";
/// IPv4 flows of the packet path: LRU hash of `FlowKey<Addr4>` to `FlowValue<Addr4>`.
pub const FLOWS4: &str = "FLOWS4";
/// Ports of fragmented IPv4 packets: LRU hash of `FragmentKey<Addr4>` to `FragmentValue`.
pub const FRAGMENTS4: &str = "FRAGMENTS4";
/// IPv4 addresses of this node that serve NodePorts: hash of `Addr4` to `u32` (interface index).
pub const LOCAL4: &str = "LOCAL4";
/// SNAT source address by egress interface index, key 0 for any other: hash of `u32` to `Addr4`.
pub const SNAT_SOURCE4: &str = "SNAT_SOURCE4";
/// IPv4 peers of connected sockets: socket storage of `PeerValue<Addr4>`.
pub const CONNECTED4: &str = "CONNECTED4";
/// IPv4 peers of unconnected sockets: LRU hash of `PeerKey<Addr4>` to `PeerValue<Addr4>`.
pub const PEERS4: &str = "PEERS4";
/// Counters by [`Reason`](crate::Reason): per-CPU array of `u64`.
pub const COUNTERS: &str = "COUNTERS";

/// All maps, in the order in which they are listed to users.
pub const ALL: [&str; 10] = [
    SERVICES4,
    SLOTS4,
    BACKENDS4,
    FLOWS4,
    FRAGMENTS4,
    LOCAL4,
    SNAT_SOURCE4,
    CONNECTED4,
    PEERS4,
    COUNTERS,
];
