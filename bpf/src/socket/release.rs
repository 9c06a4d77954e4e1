//! A socket that is closed: what was remembered of it goes.

use super::ALLOW;
use crate::{load, maps::Tables};
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
    // SAFETY: the fields are part of this hook's context.
    let (family, proto) = unsafe {
        (
            read_volatile(&raw const (*ctx.sock).family),
            read_volatile(&raw const (*ctx.sock).protocol) as u8,
        )
    };
    // An IPv6 socket with an IPv4-mapped peer is in the table of that family.
    forget::<V4>(number, proto);
    if family == INET6 {
        forget::<V6>(number, proto);
    }
    ALLOW
}

/// Forgets where the socket was led, if it was. Most have no entry: looking takes no lock.
#[inline(always)]
pub fn forget<F: Tables>(number: Cookie, proto: u8) {
    let Some(peer) = F::sockets().get_ptr(number) else {
        return;
    };
    if load::counts() {
        // SAFETY: a map value that was just looked up.
        let peer = unsafe { &*peer };
        load::ended::<F>(peer.backend_id, peer.backend, peer.backend_port, proto);
    }
    let _ = F::sockets().remove(number);
}
