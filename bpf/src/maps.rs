//! The maps, and which of them serve an address family. Sizes here are placeholders: the agent sets them at load.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{Array, DevMapHash, HashMap, LpmTrie, LruHashMap, PerCpuArray},
};
use kpr_abi::{
    Addr4, Addr6, AffinityKey, AffinityValue, BackendValue, Cookie, Family, FlowKey, FlowValue, FragmentKey,
    FragmentValue, PeerKey, PeerValue, Reason, ServiceKey, SourceRange, StoredService, V4, V6, filter,
    xdp::{self, HardwareAddress},
};
use kpr_packet::too_big::QUOTED;

#[map]
static SERVICES4: HashMap<ServiceKey<Addr4>, StoredService> = HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);
#[map]
static SLOTS4: Array<u32> = Array::with_max_entries(1, 0);
#[map]
static BACKENDS4: Array<BackendValue<Addr4>> = Array::with_max_entries(1, 0);
#[map]
static FLOWS4: LruHashMap<FlowKey<Addr4>, FlowValue<Addr4>> = LruHashMap::with_max_entries(1, 0);
#[map]
static FRAGMENTS4: LruHashMap<FragmentKey<Addr4>, FragmentValue> = LruHashMap::with_max_entries(8192, 0);
#[map]
static LOCAL4: HashMap<Addr4, u32> = HashMap::with_max_entries(4096, BPF_F_NO_PREALLOC);
#[map]
static SNAT_SOURCE4: HashMap<u32, Addr4> = HashMap::with_max_entries(1024, BPF_F_NO_PREALLOC);
#[map]
static SOCKETS4: LruHashMap<Cookie, PeerValue<Addr4>> = LruHashMap::with_max_entries(1, 0);
#[map]
static PEERS4: LruHashMap<PeerKey<Addr4>, PeerValue<Addr4>> = LruHashMap::with_max_entries(1, 0);
#[map]
static AFFINITY4: LruHashMap<AffinityKey<Addr4>, AffinityValue> = LruHashMap::with_max_entries(1, 0);
#[map]
static SOURCE_RANGES4: LpmTrie<SourceRange<Addr4>, u32> = LpmTrie::with_max_entries(16_384, BPF_F_NO_PREALLOC);
#[map]
static LOADS4: Array<u64> = Array::with_max_entries(1, 0);
#[map]
static LINGERING4: Array<u32> = Array::with_max_entries(1, 0);
#[map]
static FILTER4: Array<u32> = Array::with_max_entries(filter::WORDS, 0);

#[map]
static SERVICES6: HashMap<ServiceKey<Addr6>, StoredService> = HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);
#[map]
static SLOTS6: Array<u32> = Array::with_max_entries(1, 0);
#[map]
static BACKENDS6: Array<BackendValue<Addr6>> = Array::with_max_entries(1, 0);
#[map]
static FLOWS6: LruHashMap<FlowKey<Addr6>, FlowValue<Addr6>> = LruHashMap::with_max_entries(1, 0);
#[map]
static FRAGMENTS6: LruHashMap<FragmentKey<Addr6>, FragmentValue> = LruHashMap::with_max_entries(8192, 0);
#[map]
static LOCAL6: HashMap<Addr6, u32> = HashMap::with_max_entries(4096, BPF_F_NO_PREALLOC);
#[map]
static SNAT_SOURCE6: HashMap<u32, Addr6> = HashMap::with_max_entries(1024, BPF_F_NO_PREALLOC);
#[map]
static SOCKETS6: LruHashMap<Cookie, PeerValue<Addr6>> = LruHashMap::with_max_entries(1, 0);
#[map]
static PEERS6: LruHashMap<PeerKey<Addr6>, PeerValue<Addr6>> = LruHashMap::with_max_entries(1, 0);
#[map]
static AFFINITY6: LruHashMap<AffinityKey<Addr6>, AffinityValue> = LruHashMap::with_max_entries(1, 0);
#[map]
static SOURCE_RANGES6: LpmTrie<SourceRange<Addr6>, u32> = LpmTrie::with_max_entries(16_384, BPF_F_NO_PREALLOC);
#[map]
static LOADS6: Array<u64> = Array::with_max_entries(1, 0);
#[map]
static LINGERING6: Array<u32> = Array::with_max_entries(1, 0);
#[map]
static FILTER6: Array<u32> = Array::with_max_entries(filter::WORDS, 0);

/// What happened, by [`Reason`].
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT, 0);

/// Devices that an XDP program may send packets out by, by interface index. The agent fills it before it attaches the program; it is not
/// pinned.
#[map]
pub static XDP_DEVICES: DevMapHash = DevMapHash::with_max_entries(xdp::DEVICES, 0);
/// Hardware addresses of the devices that have an XDP program, by interface index. As above.
#[map]
pub static XDP_ADDRESSES: HashMap<u32, HardwareAddress> = HashMap::with_max_entries(xdp::DEVICES, 0);

/// How many backends are told apart in [`SNAT_FULL`].
pub const SNAT_FULL_SLOTS: u32 = 1024;

/// The second in which a flow last found no source port, and how many did not in that second, by backend id. A hint, for the programs
/// alone: it is not pinned.
#[map]
pub static SNAT_FULL: Array<u32> = Array::with_max_entries(SNAT_FULL_SLOTS, 0);

/// What one step of a flow's beginning leaves to the next: together they would need more stack than old kernels give.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Chosen<A> {
    /// The packet's tuple.
    pub key: FlowKey<A>,
    /// The wanted translation; its source is the client's.
    pub value: FlowValue<A>,
    /// Flags of the frontend.
    pub service_flags: u32,
    /// Flags of the backend.
    pub backend_flags: u32,
    /// The packet's class of service, by which it may be routed.
    pub class: u32,
    /// Of a packet that is encapsulated: length of those that are made of it later, 0 if it is left whole. Then, how long it may be.
    pub length: u32,
}

#[map]
static CHOSEN4: PerCpuArray<Chosen<Addr4>> = PerCpuArray::with_max_entries(1, 0);
#[map]
static CHOSEN6: PerCpuArray<Chosen<Addr6>> = PerCpuArray::with_max_entries(1, 0);

/// Room for what an ICMP error quotes.
#[map]
pub static QUOTATION: PerCpuArray<[u8; QUOTED]> = PerCpuArray::with_max_entries(1, 0);

/// The maps of an address family.
pub trait Tables: Family {
    /// Frontends.
    fn services() -> &'static HashMap<ServiceKey<Self::Addr>, StoredService>;
    /// Slots: backend ids.
    fn slots() -> &'static Array<u32>;
    /// Backends by id.
    fn backends() -> &'static Array<BackendValue<Self::Addr>>;
    /// Flows of the packet path.
    fn flows() -> &'static LruHashMap<FlowKey<Self::Addr>, FlowValue<Self::Addr>>;
    /// Ports of fragmented packets.
    fn fragments() -> &'static LruHashMap<FragmentKey<Self::Addr>, FragmentValue>;
    /// The node's own addresses.
    fn local() -> &'static HashMap<Self::Addr, u32>;
    /// SNAT source address by egress interface.
    fn snat_source() -> &'static HashMap<u32, Self::Addr>;
    /// Peers of connected sockets.
    fn sockets() -> &'static LruHashMap<Cookie, PeerValue<Self::Addr>>;
    /// Peers of unconnected sockets.
    fn peers() -> &'static LruHashMap<PeerKey<Self::Addr>, PeerValue<Self::Addr>>;
    /// Backends that clients had last.
    fn affinity() -> &'static LruHashMap<AffinityKey<Self::Addr>, AffinityValue>;
    /// Who may connect.
    fn source_ranges() -> &'static LpmTrie<SourceRange<Self::Addr>, u32>;
    /// This CPU's flow that begins.
    fn chosen() -> &'static PerCpuArray<Chosen<Self::Addr>>;
    /// Connections by backend id.
    fn loads() -> &'static Array<u64>;
    /// Whether there are flows to frontends that are gone.
    fn lingering() -> &'static Array<u32>;
    /// Which frontends there may be.
    fn filter() -> &'static Array<u32>;
    /// Whether the address is a loopback address.
    fn is_loopback(addr: Self::Addr) -> bool;
    /// The one loopback address that stands for all among the node's own addresses.
    const LOOPBACK: Self::Addr;
}

/// Names the maps of a family: the same for each.
macro_rules! tables {
    ($family:ty: $services:ident, $slots:ident, $backends:ident, $flows:ident, $fragments:ident, $local:ident,
     $snat_source:ident, $sockets:ident, $peers:ident, $affinity:ident, $source_ranges:ident, $loads:ident, $lingering:ident, $chosen:ident,
     $filter:ident, loopback: $loopback:expr, $is_loopback:expr) => {
        impl Tables for $family {
            #[inline(always)]
            fn services() -> &'static HashMap<ServiceKey<Self::Addr>, StoredService> {
                &$services
            }
            #[inline(always)]
            fn slots() -> &'static Array<u32> {
                &$slots
            }
            #[inline(always)]
            fn backends() -> &'static Array<BackendValue<Self::Addr>> {
                &$backends
            }
            #[inline(always)]
            fn flows() -> &'static LruHashMap<FlowKey<Self::Addr>, FlowValue<Self::Addr>> {
                &$flows
            }
            #[inline(always)]
            fn fragments() -> &'static LruHashMap<FragmentKey<Self::Addr>, FragmentValue> {
                &$fragments
            }
            #[inline(always)]
            fn local() -> &'static HashMap<Self::Addr, u32> {
                &$local
            }
            #[inline(always)]
            fn snat_source() -> &'static HashMap<u32, Self::Addr> {
                &$snat_source
            }
            #[inline(always)]
            fn sockets() -> &'static LruHashMap<Cookie, PeerValue<Self::Addr>> {
                &$sockets
            }
            #[inline(always)]
            fn peers() -> &'static LruHashMap<PeerKey<Self::Addr>, PeerValue<Self::Addr>> {
                &$peers
            }
            #[inline(always)]
            fn affinity() -> &'static LruHashMap<AffinityKey<Self::Addr>, AffinityValue> {
                &$affinity
            }
            #[inline(always)]
            fn source_ranges() -> &'static LpmTrie<SourceRange<Self::Addr>, u32> {
                &$source_ranges
            }
            #[inline(always)]
            fn loads() -> &'static Array<u64> {
                &$loads
            }
            #[inline(always)]
            fn lingering() -> &'static Array<u32> {
                &$lingering
            }
            #[inline(always)]
            fn chosen() -> &'static PerCpuArray<Chosen<Self::Addr>> {
                &$chosen
            }
            #[inline(always)]
            fn filter() -> &'static Array<u32> {
                &$filter
            }
            const LOOPBACK: Self::Addr = $loopback;
            #[inline(always)]
            fn is_loopback(addr: Self::Addr) -> bool {
                $is_loopback(addr)
            }
        }
    };
}

tables!(V4: SERVICES4, SLOTS4, BACKENDS4, FLOWS4, FRAGMENTS4, LOCAL4, SNAT_SOURCE4, SOCKETS4, PEERS4, AFFINITY4, SOURCE_RANGES4, LOADS4, LINGERING4, CHOSEN4, FILTER4,
    // 127.0.0.0/8 (RFC 1122 §3.2.1.3).
    loopback: Addr4(0x7f00_0001_u32.to_be()), |addr: Addr4| u32::from_be(addr.0) >> 24 == 127);
tables!(V6: SERVICES6, SLOTS6, BACKENDS6, FLOWS6, FRAGMENTS6, LOCAL6, SNAT_SOURCE6, SOCKETS6, PEERS6, AFFINITY6, SOURCE_RANGES6, LOADS6, LINGERING6, CHOSEN6, FILTER6,
    // ::1 (RFC 4291 §2.5.3).
    loopback: Addr6([0, 0, 0, 1_u32.to_be()]), |addr: Addr6| addr == Self::LOOPBACK);
