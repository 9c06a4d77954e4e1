//! Somebody wants it counted.

use super::Size;
use crate::{balance, config, maps::Tables};
use aya_ebpf::{bindings::BPF_F_NO_PREALLOC, macros::map, maps::PerCpuHashMap};
use kpr_abi::{
    Addr4, Addr6, Address as _, Be16, FlowKey, FlowValue, ServiceCount, ServiceKey, V4, V6,
    config::features,
    flow::{direction, state},
    service_count::FRONTENDS,
};

/// What is counted of a frontend.
const REQUEST: u8 = 0;
/// A flow's first request.
const FIRST_REQUEST: u8 = 1;
const REPLY: u8 = 2;
/// A socket that was led to a backend.
const SOCKET: u8 = 3;

#[map]
static SERVICE_COUNTS4: PerCpuHashMap<ServiceKey<Addr4>, ServiceCount> =
    PerCpuHashMap::with_max_entries(FRONTENDS, BPF_F_NO_PREALLOC);
#[map]
static SERVICE_COUNTS6: PerCpuHashMap<ServiceKey<Addr6>, ServiceCount> =
    PerCpuHashMap::with_max_entries(FRONTENDS, BPF_F_NO_PREALLOC);

/// A family whose frontends are counted.
pub trait Counted: Tables {
    /// What is counted of its frontends.
    fn counts() -> &'static PerCpuHashMap<ServiceKey<Self::Addr>, ServiceCount>;

    /// Adds to what is counted of a frontend. Not inlined: programs that call it keep their stack.
    fn count(addr: Self::Addr, what: u32, size: Size);
}

/// Counts a packet of a flow. `begins`: it is the first one, if it is a request.
#[inline(always)]
pub fn packet<F: Counted>(
    key: &FlowKey<F::Addr>,
    value: &FlowValue<F::Addr>,
    begins: bool,
    size: impl FnOnce() -> Size,
) {
    // A flow without a backend is a refusal.
    if value.backend == 0 {
        return;
    }
    if key.direction == direction::REPLY {
        F::count(value.src, pack(value.sport, key.proto, REPLY), size());
    } else if value.state & state::ENCAPSULATED == 0 {
        // Else the node that has encapsulated it has counted it.
        let what = if begins { FIRST_REQUEST } else { REQUEST };
        F::count(key.dst, pack(key.dport, key.proto, what), size());
    }
}

/// Counts a socket that was led to a backend of the frontend that it asked for.
#[inline(always)]
pub fn socket<F: Counted>(addr: F::Addr, port: Be16, proto: u8) {
    let size = Size { packets: 0, bytes: 0 };
    F::count(addr, pack(port, proto, SOCKET), size);
}

/// In one word: the verifier takes five arguments.
#[inline(always)]
fn pack(port: Be16, proto: u8, what: u8) -> u32 {
    u32::from(port.0) << 16 | u32::from(proto) << 8 | u32::from(what)
}

impl Counted for V4 {
    #[inline(always)]
    fn counts() -> &'static PerCpuHashMap<ServiceKey<Addr4>, ServiceCount> {
        &SERVICE_COUNTS4
    }

    #[inline(always)]
    fn count(addr: Addr4, what: u32, size: Size) {
        kpr_count4(addr.0, what, size.packets, size.bytes);
    }
}

impl Counted for V6 {
    #[inline(always)]
    fn counts() -> &'static PerCpuHashMap<ServiceKey<Addr6>, ServiceCount> {
        &SERVICE_COUNTS6
    }

    #[inline(always)]
    fn count(addr: Addr6, what: u32, size: Size) {
        let [a, b, c, d] = addr.0.map(u64::from);
        kpr_count6(a << 32 | b, c << 32 | d, what, size.packets, size.bytes);
    }
}

/// Exported and not inlined, as `tc`'s steps.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn kpr_count4(addr: u32, what: u32, packets: u32, bytes: u32) -> i32 {
    add::<V4>(Addr4(addr), what, Size { packets, bytes })
}

/// The same.
#[inline(never)]
#[unsafe(no_mangle)]
extern "C" fn kpr_count6(high: u64, low: u64, what: u32, packets: u32, bytes: u32) -> i32 {
    let addr = [(high >> 32) as u32, high as u32, (low >> 32) as u32, low as u32];
    add::<V6>(Addr6(addr), what, Size { packets, bytes })
}

/// The value is for the verifier, which knows no function without one.
#[inline(always)]
fn add<F: Counted>(addr: F::Addr, packed: u32, Size { packets, bytes }: Size) -> i32 {
    let (port, proto, what) = (Be16((packed >> 16) as u16), (packed >> 8) as u8, packed as u8);
    let Some(count) = find::<F>(addr, port, proto) else {
        return 0;
    };
    // SAFETY: this CPU's own entry; a program that interrupts this one on the same CPU may cost what was added, never memory.
    let count = unsafe { &mut *count };
    let (packets, bytes) = (u64::from(packets), u64::from(bytes));
    match what {
        SOCKET => count.sockets += 1,
        REPLY => {
            count.reply_packets += packets;
            count.reply_bytes += bytes;
        }
        _ => {
            if what == FIRST_REQUEST {
                count.flows += 1;
            }
            count.request_packets += packets;
            count.request_bytes += bytes;
        }
    }
    0
}

/// The entry of the frontend of exactly this address, or of the one on any address of a node. One look-up in a hash, nearly always: where the
/// filter knows of no frontend of the address, a flow can only be the other's. One key for all look-ups: this function's stack comes on
/// top of that of any step.
#[inline(always)]
#[expect(
    clippy::needless_borrows_for_generic_args,
    reason = "each copy of the key would have its own stack"
)]
fn find<F: Counted>(addr: F::Addr, port: Be16, proto: u8) -> Option<*mut ServiceCount> {
    let mut key = ServiceKey::new(addr, port, proto);
    if balance::may_be_frontend::<F>(&key) {
        let exact = F::counts().get_ptr_mut(&key);
        if exact.is_some() {
            return exact;
        }
        // Another node has encapsulated what is answered: the address may be that node's.
        if !(config::has(features::TUNNELS) && config::is_node_port(port)) {
            if F::is_loopback(addr) {
                key.addr = F::LOOPBACK;
            }
            F::local().get_ptr(&key.addr)?;
        }
    }
    key.addr = F::Addr::ANY;
    F::counts().get_ptr_mut(&key)
}
