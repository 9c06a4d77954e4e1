//! The way out, as kpr's programs take it: `bpf_fib_lookup` for device and next hop, `bpf_redirect_neigh` to send it there.

use aya_ebpf::{
    EbpfContext,
    bindings::{bpf_fib_lookup as FibParams, bpf_redir_neigh},
    helpers::{bpf_fib_lookup, bpf_redirect_neigh},
    programs::TcContext,
};
use core::mem::{MaybeUninit, size_of};
use kpr_abi::{Addr4, FlowValue, Reason};

const AF_INET: u8 = 2;

/// Device and next hop.
pub struct Route {
    ifindex: u32,
    next_hop: u32,
}

/// How a packet of this translation leaves the node; its neighbour is known.
#[inline(always)]
pub fn lookup(ctx: &TcContext, proto: u8, to: &FlowValue<Addr4>) -> Result<Route, Reason> {
    let mut params = MaybeUninit::uninit();
    let params = ask(ctx, device(ctx), proto, to, &mut params)?;
    Ok(Route {
        ifindex: params.ifindex,
        // SAFETY: the helper left the next hop here.
        next_hop: unsafe { params.__bindgen_anon_4.ipv4_dst },
    })
}

/// The device that the packet came in by.
#[inline(always)]
pub fn device(ctx: &TcContext) -> u32 {
    // SAFETY: a field of the context.
    unsafe { (*ctx.skb.skb).ifindex }
}

/// Asks the kernel for the way of a packet that came in by this device.
#[inline(always)]
pub fn ask<'a>(
    ctx: &impl EbpfContext,
    ifindex: u32,
    proto: u8,
    to: &FlowValue<Addr4>,
    params: &'a mut MaybeUninit<FibParams>,
) -> Result<&'a mut FibParams, Reason> {
    // SAFETY: integers and unions of integers: all zero is a value.
    let params = unsafe { zeroed(params) };
    params.family = AF_INET;
    params.l4_protocol = proto;
    params.sport = to.sport.0;
    params.dport = to.dport.0;
    params.ifindex = ifindex;
    params.__bindgen_anon_3.ipv4_src = to.src.0;
    params.__bindgen_anon_4.ipv4_dst = to.dst.0;
    let size = size_of::<FibParams>() as i32;
    // SAFETY: the helper reads and writes `params` within the size given.
    if unsafe { bpf_fib_lookup(ctx.as_ptr(), &raw mut *params, size, 0) } == 0 {
        Ok(params)
    } else {
        Err(Reason::DropNoRoute)
    }
}

impl Route {
    /// Sends the packet this way; the verdict to end with.
    #[inline(always)]
    pub fn redirect(self) -> i32 {
        let mut next_hop = MaybeUninit::<bpf_redir_neigh>::uninit();
        // SAFETY: integers and a union of integers: all zero is a value.
        let next_hop = unsafe { zeroed(&mut next_hop) };
        next_hop.nh_family = u32::from(AF_INET);
        next_hop.__bindgen_anon_1.ipv4_nh = self.next_hop;
        let size = size_of::<bpf_redir_neigh>() as i32;
        // SAFETY: the helper reads the next hop within the size given.
        (unsafe { bpf_redirect_neigh(self.ifindex, &raw mut *next_hop, size, 0) }) as i32
    }
}

/// Zeroes a value word by word: the linker has the compiler make a call of anything else, to a function that does it byte by byte.
///
/// # Safety
///
/// All zero must be a value of the type, its size a multiple of four bytes and its alignment at least four.
#[inline(always)]
unsafe fn zeroed<T>(value: &mut MaybeUninit<T>) -> &mut T {
    let words: *mut u32 = value.as_mut_ptr().cast();
    let mut word = 0;
    while word < size_of::<T>() / size_of::<u32>() {
        // SAFETY: inside the value. Volatile, or the words would be made one again.
        unsafe { words.add(word).write_volatile(0) };
        word += 1;
    }
    // SAFETY: the caller's promise.
    unsafe { value.assume_init_mut() }
}
