//! The maps, and which of them serve an address family. Sizes here are placeholders: the agent sets them at load.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    btf_maps::SkStorage,
    macros::{btf_map, map},
    maps::{Array, HashMap, LruHashMap, PerCpuArray},
};
use kpr_abi::{
    Addr4, BackendValue, Family, FlowKey, FlowValue, FragmentKey, FragmentValue, PeerKey, PeerValue, Reason,
    ServiceKey, ServiceValue, V4,
};

#[map]
static SERVICES4: HashMap<ServiceKey<Addr4>, ServiceValue> = HashMap::with_max_entries(1, BPF_F_NO_PREALLOC);
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
#[btf_map]
static CONNECTED4: SkStorage<PeerValue<Addr4>> = SkStorage::new();
#[map]
static PEERS4: LruHashMap<PeerKey<Addr4>, PeerValue<Addr4>> = LruHashMap::with_max_entries(1, 0);

/// What happened, by [`Reason`].
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Reason::COUNT, 0);

/// The maps of an address family.
pub trait Tables: Family {
    /// Frontends.
    fn services() -> &'static HashMap<ServiceKey<Self::Addr>, ServiceValue>;
    /// Slots: backend ids.
    fn slots() -> &'static Array<u32>;
    /// Backends by id.
    fn backends() -> &'static Array<BackendValue<Self::Addr>>;
    /// Flows of the packet path.
    fn flows() -> &'static LruHashMap<FlowKey<Self::Addr>, FlowValue<Self::Addr>>;
    /// Ports of fragmented packets.
    fn fragments() -> &'static LruHashMap<FragmentKey<Self::Addr>, FragmentValue>;
    /// The node's addresses that serve NodePorts.
    fn local() -> &'static HashMap<Self::Addr, u32>;
    /// SNAT source address by egress interface.
    fn snat_source() -> &'static HashMap<u32, Self::Addr>;
    /// Peers of connected sockets.
    fn connected() -> &'static SkStorage<PeerValue<Self::Addr>>;
    /// Peers of unconnected sockets.
    fn peers() -> &'static LruHashMap<PeerKey<Self::Addr>, PeerValue<Self::Addr>>;
    /// Whether the address is a loopback address.
    fn is_loopback(addr: Self::Addr) -> bool;
}

impl Tables for V4 {
    #[inline(always)]
    fn services() -> &'static HashMap<ServiceKey<Addr4>, ServiceValue> {
        &SERVICES4
    }
    #[inline(always)]
    fn slots() -> &'static Array<u32> {
        &SLOTS4
    }
    #[inline(always)]
    fn backends() -> &'static Array<BackendValue<Addr4>> {
        &BACKENDS4
    }
    #[inline(always)]
    fn flows() -> &'static LruHashMap<FlowKey<Addr4>, FlowValue<Addr4>> {
        &FLOWS4
    }
    #[inline(always)]
    fn fragments() -> &'static LruHashMap<FragmentKey<Addr4>, FragmentValue> {
        &FRAGMENTS4
    }
    #[inline(always)]
    fn local() -> &'static HashMap<Addr4, u32> {
        &LOCAL4
    }
    #[inline(always)]
    fn snat_source() -> &'static HashMap<u32, Addr4> {
        &SNAT_SOURCE4
    }
    #[inline(always)]
    fn connected() -> &'static SkStorage<PeerValue<Addr4>> {
        &CONNECTED4
    }
    #[inline(always)]
    fn peers() -> &'static LruHashMap<PeerKey<Addr4>, PeerValue<Addr4>> {
        &PEERS4
    }
    #[inline(always)]
    fn is_loopback(addr: Addr4) -> bool {
        // 127.0.0.0/8 (RFC 1122 §3.2.1.3).
        u32::from_be(addr.0) >> 24 == 127
    }
}
