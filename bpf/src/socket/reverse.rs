//! From the backend that a socket talks to back to the service that its program asked for.

use super::{
    ALLOW,
    address::{self, SocketAddress},
    forward::{number_of, peer_key},
};
use crate::maps::Tables;
use aya_ebpf::programs::SockAddrContext;

/// Shows the frontend where the peer of the call is a backend that this socket was led to. Returns the hook's verdict: such
/// calls are never denied.
#[inline(always)]
pub fn peer<S: SocketAddress>(ctx: &SockAddrContext) -> i32 {
    let Some(addr) = S::read(ctx) else { return ALLOW };
    let port = address::port(ctx);
    let cookie = number_of(ctx);
    if let Some(stored) = S::Family::sockets().get_ptr(cookie) {
        // SAFETY: a map value that was just looked up.
        let stored = unsafe { &*stored };
        if stored.backend == addr && stored.backend_port == port {
            S::write(ctx, stored.frontend);
            address::set_port(ctx, stored.frontend_port);
            return ALLOW;
        }
    }
    if let Some(known) = S::Family::peers().get_ptr(peer_key::<S::Family>(cookie, addr, port)) {
        // SAFETY: a map value that was just looked up.
        let known = unsafe { &*known };
        S::write(ctx, known.frontend);
        address::set_port(ctx, known.frontend_port);
    }
    ALLOW
}
