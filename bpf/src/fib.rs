//! Asking the kernel how a packet leaves this node (`bpf_fib_lookup`): the same question from tc and XDP.

pub use aya_ebpf::bindings::bpf_fib_lookup as FibParams;
use aya_ebpf::{EbpfContext, helpers::bpf_fib_lookup};
use core::mem::{size_of, zeroed};
use kpr_abi::{Addr4, Addr6, FlowValue, Way, xdp::HardwareAddress};

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
/// `BPF_FIB_LKUP_RET_SUCCESS`: route and neighbour are known.
pub const SUCCESS: i64 = 0;
/// `BPF_FIB_LKUP_RET_NO_NEIGH`: the route is known, the neighbour's hardware address is not.
pub const NO_NEIGHBOUR: i64 = 7;

/// The question for an IPv4 packet that came in by this device, once it is translated.
#[inline(always)]
pub fn ask4(ifindex: u32, proto: u8, class: u8, to: &FlowValue<Addr4>) -> FibParams {
    let mut params = params(ifindex, AF_INET, proto, to);
    // The bits that routing knows (`IPTOS_RT_MASK`).
    params.__bindgen_anon_2.tos = class & 0x1c;
    params.__bindgen_anon_3.ipv4_src = to.src.0;
    params.__bindgen_anon_4.ipv4_dst = to.dst.0;
    params
}

/// The same for an IPv6 packet.
#[inline(always)]
pub fn ask6(ifindex: u32, proto: u8, class: u8, to: &FlowValue<Addr6>) -> FibParams {
    let mut params = params(ifindex, AF_INET6, proto, to);
    // Traffic class in its place in the header's first word; the flow label is the sender's.
    params.__bindgen_anon_2.flowinfo = (u32::from(class) << 20).to_be();
    params.__bindgen_anon_3.ipv6_src = to.src.0;
    params.__bindgen_anon_4.ipv6_dst = to.dst.0;
    params
}

#[inline(always)]
fn params<A>(ifindex: u32, family: u8, proto: u8, to: &FlowValue<A>) -> FibParams {
    // SAFETY: integers and unions of integers: all zero is a value.
    let mut params: FibParams = unsafe { zeroed() };
    params.family = family;
    params.l4_protocol = proto;
    // In network byte order, as the kernel's multipath hash takes them.
    params.sport = to.sport.0;
    params.dport = to.dport.0;
    params.ifindex = ifindex;
    params
}

/// Asks; the answer takes the question's place. Returns one of `BPF_FIB_LKUP_RET_*`, or an error.
#[inline(always)]
pub fn lookup(ctx: &impl EbpfContext, params: &mut FibParams) -> i64 {
    // SAFETY: the helper reads and writes `params` within the size given.
    unsafe { bpf_fib_lookup(ctx.as_ptr(), &raw mut *params, size_of::<FibParams>() as i32, 0) }
}

/// The way that an answer tells, if the neighbour is known and the question was for a length: for flows to remember. A device with a number
/// that does not fit has none.
#[inline(always)]
pub fn way(params: &FibParams) -> Way {
    Way {
        to: HardwareAddress::from(params.dmac).halves,
        // SAFETY: two bytes either way: the helper's answer, or what was asked.
        mtu: unsafe { params.__bindgen_anon_1.mtu_result },
        from: HardwareAddress::from(params.smac).halves,
        ifindex: if params.ifindex > 0xffff {
            0
        } else {
            params.ifindex as u16
        },
    }
}
