//! A socket that is closed: what was remembered of it goes.

use super::ALLOW;
use crate::maps::Tables;
use aya_ebpf::{EbpfContext, helpers::bpf_get_socket_cookie, programs::SockContext};
use core::ptr::read_volatile;
use kpr_abi::{Cookie, V4, V6, socket::cookie};

/// `AF_INET6`.
const INET6: u32 = 10;

/// The last reference to a socket of either family goes. Returns the hook's verdict, which nobody asks for.
#[inline(always)]
pub fn released(ctx: &SockContext) -> i32 {
    // SAFETY: a helper on the hook's own context.
    let number = cookie(unsafe { bpf_get_socket_cookie(ctx.as_ptr()) });
    // SAFETY: the field is part of this hook's context.
    let is_v6 = unsafe { read_volatile(&raw const (*ctx.sock).family) } == INET6;
    // An IPv6 socket with an IPv4-mapped peer is in the table of that family.
    forget::<V4>(number);
    if is_v6 {
        forget::<V6>(number);
    }
    ALLOW
}

/// Most sockets have no entry: looking takes no lock.
#[inline(always)]
fn forget<F: Tables>(number: Cookie) {
    if F::sockets().get_ptr(number).is_some() {
        let _ = F::sockets().remove(number);
    }
}
