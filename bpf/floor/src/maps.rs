//! The maps. Sizes here are placeholders: the benchmark sets them at load.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, HashMap, LruHashMap, ProgramArray},
};
use kpr_abi::{Addr4, BackendValue, FlowKey, FlowValue, ServiceKey};

/// Headers of a packet, as far as [`crate::start::HEADERS`] bytes; the rest is filler to a cache line.
pub type Template = [u64; 8];

/// Which packet comes next.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Cursor {
    /// Index of the next one in [`PACKETS`].
    pub next: u32,
    /// How many there are.
    pub count: u32,
    /// How many there were so far.
    pub runs: u64,
}

/// The packets that a measurement walks through.
#[map]
pub static PACKETS: Array<Template> = Array::with_max_entries(1, 0);
#[map]
pub static CURSOR: Array<Cursor> = Array::with_max_entries(1, 0);
/// The program of XDP that is measured: the kernel has each kind of programs jump to its own.
#[map]
pub static XDP_TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// The program that is measured.
#[map]
pub static TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Frontends: how many of [`BACKENDS`] each has.
#[map]
pub static FRONTENDS: HashMap<ServiceKey<Addr4>, u32> = HashMap::with_max_entries(1, 0);
#[map]
pub static BACKENDS: Array<BackendValue<Addr4>> = Array::with_max_entries(1, 0);
/// Flows, of the kind of map and in the layout that kpr has them in.
#[map]
pub static FLOWS: LruHashMap<FlowKey<Addr4>, FlowValue<Addr4>> = LruHashMap::with_max_entries(1, 0);

/// What becomes of packets that the node sends.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Sink {
    /// Not 0: those to the backend end here.
    pub open: u64,
    /// How many did.
    pub ended: u64,
    /// Not 0: [`Self::last`] is kept.
    pub keeps: u64,
    /// Headers of the last one that did.
    pub last: Template,
}

#[map]
pub static SINK: Array<Sink> = Array::with_max_entries(1, 0);

/// The device by which packets get to the node.
#[unsafe(no_mangle)]
pub static DEVICE: Global<u32> = Global::new(0);
/// The backend whose packets the sink waits for: address and port, in network byte order.
#[unsafe(no_mangle)]
pub static BACKEND_ADDRESS: Global<u32> = Global::new(0);
#[unsafe(no_mangle)]
pub static BACKEND_PORT: Global<u16> = Global::new(0);
/// Hardware addresses of next hop and node, where no route is asked for: as they stand on the wire, in halves.
#[unsafe(no_mangle)]
pub static LINK_HEADER: Global<[u16; 6]> = Global::new([0; 6]);

/// The node's address, in network byte order.
#[unsafe(no_mangle)]
pub static NODE_ADDRESS: Global<u32> = Global::new(0);
