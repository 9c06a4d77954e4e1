//! Bind protection: a port that a NodePort or a hostPort has is not for processes of the node, whose clients would all be led
//! past them. The call fails as if another process had the port.

use super::ALLOW;
use crate::{balance, config, counters, events, maps::Tables};
use aya_ebpf::{
    EbpfContext,
    bindings::bpf_sock,
    helpers::{bpf_get_netns_cookie, bpf_set_retval},
    programs::SockContext,
};
use core::ptr::read_volatile;
use kpr_abi::{
    Addr4, Addr6, Address, Be16, Reason, ServiceKey, ServiceValue, V4, V6, config::features, proto, service::flags,
};

/// Fail the call, with EPERM if nothing else was set.
const DENY: i32 = 0;
const EADDRINUSE: i32 = 98;

/// An IPv4 socket was bound.
#[inline(always)]
pub fn bound4(ctx: &SockContext) -> i32 {
    let Some((port, proto)) = concerned(ctx) else {
        return ALLOW;
    };
    // SAFETY: the field is part of this hook's context.
    let addr = Addr4(unsafe { read_volatile(&raw const (*ctx.sock).src_ip4) });
    verdict(is_served::<V4>(addr, port, proto))
}

/// An IPv6 socket was bound. To the unspecified address: for IPv4 too, unless its program has asked otherwise, which the hook
/// does not see.
#[inline(always)]
pub fn bound6(ctx: &SockContext) -> i32 {
    let Some((port, proto)) = concerned(ctx) else {
        return ALLOW;
    };
    // SAFETY: the words are part of this hook's context.
    let word = |i: usize| unsafe { read_volatile(&raw const (*ctx.sock).src_ip6[i]) };
    let addr = Addr6([word(0), word(1), word(2), word(3)]);
    let Addr6([w0, w1, w2, w3]) = addr;
    verdict(if w0 | w1 == 0 && w2 == 0x0000_ffff_u32.to_be() {
        is_served::<V4>(Addr4(w3), port, proto)
    } else if addr == Addr6::ANY {
        is_served::<V6>(addr, port, proto) || is_served::<V4>(Addr4::ANY, port, proto)
    } else {
        is_served::<V6>(addr, port, proto)
    })
}

/// Port and protocol of a socket of the node's own network namespace. A pod's are its own.
#[inline(always)]
fn concerned(ctx: &SockContext) -> Option<(Be16, u8)> {
    let sock: *const bpf_sock = ctx.sock;
    // SAFETY: the fields are part of this hook's context.
    let (port, proto) = unsafe {
        (
            read_volatile(&raw const (*sock).src_port),
            read_volatile(&raw const (*sock).protocol),
        )
    };
    let proto = match proto {
        6 => proto::TCP,
        17 => proto::UDP,
        _ => return None,
    };
    // SAFETY: a helper on the hook's own context.
    let is_on_host = unsafe { bpf_get_netns_cookie(ctx.as_ptr()) == config::host_netns_cookie() };
    // Here, and only here, the kernel has the port in the machine's byte order.
    is_on_host.then_some((Be16::new(port as u16), proto))
}

/// Whether a NodePort or a hostPort has the port, on this address or on any.
#[inline(always)]
fn is_served<F: Tables>(addr: F::Addr, port: Be16, proto: u8) -> bool {
    let mut service = ServiceValue::default();
    if balance::frontend::<F>(&ServiceKey::new(addr, port, proto), &mut service)
        && service.flags & (flags::NODE_PORT | flags::HOST_PORT) != 0
    {
        events::bind(addr, port, proto);
        return true;
    }
    let own = if F::is_loopback(addr) { F::LOOPBACK } else { addr };
    let on_any = balance::on_any_address::<F>(own, port, proto, &mut service);
    if on_any {
        events::bind(addr, port, proto);
    }
    on_any
}

#[inline(always)]
fn verdict(is_served: bool) -> i32 {
    if !is_served {
        return ALLOW;
    }
    counters::count(Reason::SocketBindRefused);
    if config::has(features::SET_RETVAL) {
        // SAFETY: a helper without pointers; the feature says that this kernel has it on this hook.
        unsafe { bpf_set_retval(-EADDRINUSE) };
    }
    DENY
}
