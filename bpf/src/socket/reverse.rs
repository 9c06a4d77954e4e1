//! From the backend that a socket talks to back to the service that its program asked for.

use super::{
    ALLOW,
    address::{Call as _, SocketAddress},
    forward::{number_of, peer_key},
};
use crate::maps::Tables;

/// Shows the frontend where the peer of the call is a backend that this socket was led to. Returns the hook's verdict: such
/// calls are never denied.
#[inline(always)]
pub fn peer<S: SocketAddress>(ctx: &S::Call) -> i32 {
    let Some(addr) = S::read(ctx) else { return ALLOW };
    let port = ctx.port();
    let cookie = number_of(ctx);
    if let Some(stored) = S::Family::sockets().get_ptr(cookie) {
        // SAFETY: a map value that was just looked up.
        let stored = unsafe { &*stored };
        if stored.backend == addr && stored.backend_port == port {
            S::write(ctx, stored.frontend);
            ctx.set_port(stored.frontend_port);
            return ALLOW;
        }
    }
    if let Some(known) = S::Family::peers().get_ptr(peer_key::<S::Family>(cookie, addr, port)) {
        // SAFETY: a map value that was just looked up.
        let known = unsafe { &*known };
        S::write(ctx, known.frontend);
        ctx.set_port(known.frontend_port);
    }
    ALLOW
}
