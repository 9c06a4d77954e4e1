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
/// IPv4 addresses of this node: hash of `Addr4` to `u32` (interface index and [`local`](crate::local) flags).
pub const LOCAL4: &str = "LOCAL4";
/// SNAT source address by egress interface index, key 0 for any other: hash of `u32` to `Addr4`.
pub const SNAT_SOURCE4: &str = "SNAT_SOURCE4";
/// IPv4 peers of connected sockets: LRU hash of socket cookies to `PeerValue<Addr4>`.
pub const SOCKETS4: &str = "SOCKETS4";
/// IPv4 peers of unconnected sockets: LRU hash of `PeerKey<Addr4>` to `PeerValue<Addr4>`.
pub const PEERS4: &str = "PEERS4";
/// IPv4 session affinity: LRU hash of `AffinityKey<Addr4>` to `AffinityValue`.
pub const AFFINITY4: &str = "AFFINITY4";
/// IPv4 source ranges: longest-prefix-match trie of a prefix length and `SourceRange<Addr4>` to `u32` (always 1).
pub const SOURCE_RANGES4: &str = "SOURCE_RANGES4";
/// How many connections IPv4 backends have, by id: array of `u64`. Kept only where backends are chosen by it.
pub const LOADS4: &str = "LOADS4";
/// Whether there are IPv4 flows to frontends that are gone: array of one `u32`, 0 or 1. NodePorts don't count, flows to them are
/// found in any case.
pub const LINGERING4: &str = "LINGERING4";
/// Which IPv4 frontends there may be: array of `u32`, see [`filter`](crate::filter).
pub const FILTER4: &str = "FILTER4";
/// What is counted of IPv4 frontends: per-CPU hash of `ServiceKey<Addr4>` to [`ServiceCount`](crate::ServiceCount). Only where
/// somebody asks for it.
pub const SERVICE_COUNTS4: &str = "SERVICE_COUNTS4";
/// IPv6 frontends: hash of `ServiceKey<Addr6>` to `ServiceValue`.
pub const SERVICES6: &str = "SERVICES6";
/// IPv6 slot table: array of backend ids.
pub const SLOTS6: &str = "SLOTS6";
/// IPv6 backends by id: array of `BackendValue<Addr6>`.
pub const BACKENDS6: &str = "BACKENDS6";
/// IPv6 flows of the packet path: LRU hash of `FlowKey<Addr6>` to `FlowValue<Addr6>`.
pub const FLOWS6: &str = "FLOWS6";
/// Ports of fragmented IPv6 packets: LRU hash of `FragmentKey<Addr6>` to `FragmentValue`.
pub const FRAGMENTS6: &str = "FRAGMENTS6";
/// IPv6 addresses of this node: hash of `Addr6` to `u32` (interface index and [`local`](crate::local) flags).
pub const LOCAL6: &str = "LOCAL6";
/// SNAT source address by egress interface index, key 0 for any other: hash of `u32` to `Addr6`.
pub const SNAT_SOURCE6: &str = "SNAT_SOURCE6";
/// IPv6 peers of connected sockets: LRU hash of socket cookies to `PeerValue<Addr6>`.
pub const SOCKETS6: &str = "SOCKETS6";
/// IPv6 peers of unconnected sockets: LRU hash of `PeerKey<Addr6>` to `PeerValue<Addr6>`.
pub const PEERS6: &str = "PEERS6";
/// IPv6 session affinity: LRU hash of `AffinityKey<Addr6>` to `AffinityValue`.
pub const AFFINITY6: &str = "AFFINITY6";
/// IPv6 source ranges: longest-prefix-match trie of a prefix length and `SourceRange<Addr6>` to `u32` (always 1).
pub const SOURCE_RANGES6: &str = "SOURCE_RANGES6";
/// How many connections IPv6 backends have, by id: array of `u64`. Kept only where backends are chosen by it.
pub const LOADS6: &str = "LOADS6";
/// Whether there are IPv6 flows to frontends that are gone: array of one `u32`, 0 or 1. NodePorts don't count, flows to them are
/// found in any case.
pub const LINGERING6: &str = "LINGERING6";
/// Which IPv6 frontends there may be: array of `u32`, see [`filter`](crate::filter).
pub const FILTER6: &str = "FILTER6";
/// What is counted of IPv6 frontends: per-CPU hash of `ServiceKey<Addr6>` to [`ServiceCount`](crate::ServiceCount). Only where
/// somebody asks for it.
pub const SERVICE_COUNTS6: &str = "SERVICE_COUNTS6";
/// Counters by [`Reason`](crate::Reason): per-CPU array of `u64`.
pub const COUNTERS: &str = "COUNTERS";

/// Devices that XDP programs may send packets out by: hash of devices by interface index. Not pinned: each agent's programs have their
/// own.
pub const XDP_DEVICES: &str = "XDP_DEVICES";
/// Hardware addresses of devices with an XDP program: hash of `u32` (interface index) to
/// [`HardwareAddress`](crate::xdp::HardwareAddress). Not pinned.
pub const XDP_ADDRESSES: &str = "XDP_ADDRESSES";

/// All maps that are pinned, in the order in which they are listed to users.
pub const ALL: [&str; 31] = [
    SERVICES4,
    SLOTS4,
    BACKENDS4,
    FLOWS4,
    FRAGMENTS4,
    LOCAL4,
    SNAT_SOURCE4,
    SOCKETS4,
    PEERS4,
    AFFINITY4,
    SOURCE_RANGES4,
    LOADS4,
    LINGERING4,
    FILTER4,
    SERVICE_COUNTS4,
    SERVICES6,
    SLOTS6,
    BACKENDS6,
    FLOWS6,
    FRAGMENTS6,
    LOCAL6,
    SNAT_SOURCE6,
    SOCKETS6,
    PEERS6,
    AFFINITY6,
    SOURCE_RANGES6,
    LOADS6,
    LINGERING6,
    FILTER6,
    SERVICE_COUNTS6,
    COUNTERS,
];
