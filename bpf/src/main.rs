//! kpr's eBPF programs: entry points only. Outcomes become verdicts in three places, `socket::verdict`, `tc::verdict` and `xdp::accelerate`.
//!
//! | hook | programs | does |
//! |---|---|---|
//! | cgroup2 | `kpr_connect*`, `kpr_sendmsg*`, `kpr_recvmsg*`, `kpr_getpeername*`, `kpr_sock_release` | east-west: a socket call is led to a backend, once |
//! | cgroup2, if asked | `kpr_post_bind*` | keeps processes of the node off the ports of NodePorts and hostPorts |
//! | tc ingress of external devices | `kpr_ingress` | north-south: requests, and the replies of remote backends |
//! | tc egress of external devices | `kpr_egress` | north-south: replies of local backends |
//! | XDP of external devices, if asked | `kpr_xdp` | north-south: packets of flows with remote backends; all others go up to tc |
//! | the same three of tc with `_l3` | devices without a link header | the same |
//! | tc of pod-facing devices, if asked | `kpr_pod_ingress`, `kpr_egress` | east-west, packet by packet |
//! | none: run by `kpr explain` | `kpr_explain_connect*` | what would become of a socket call; with the feature `events` only |
#![no_std]
#![no_main]
#![feature(asm_experimental_arch)]

mod balance;
mod clock;
mod config;
mod counters;
mod events;
#[cfg(feature = "events")]
mod explain;
mod fib;
mod flow;
mod headers;
mod load;
mod maps;
mod screen;
mod service_counts;
mod socket;
mod tc;
mod xdp;

use aya_ebpf::{
    macros::{cgroup_sock, cgroup_sock_addr, classifier, xdp},
    programs::{SockAddrContext, SockContext, TcContext, XdpContext},
};
use socket::address::{Inet, Inet6, Mapped, is_mapped};

/// `connect(2)` of an IPv4 socket.
#[cgroup_sock_addr(connect4)]
pub fn kpr_connect4(ctx: SockAddrContext) -> i32 {
    socket::verdict(socket::forward::connect::<Inet>(&ctx))
}

/// `connect(2)` of an IPv6 socket, also to IPv4 addresses written as `::ffff:a.b.c.d`.
#[cgroup_sock_addr(connect6)]
pub fn kpr_connect6(ctx: SockAddrContext) -> i32 {
    socket::verdict(if is_mapped(&ctx) {
        socket::forward::connect::<Mapped>(&ctx)
    } else {
        socket::forward::connect::<Inet6>(&ctx)
    })
}

/// `sendmsg(2)` and `sendto(2)` with a destination, of an IPv4 UDP socket.
#[cgroup_sock_addr(sendmsg4)]
pub fn kpr_sendmsg4(ctx: SockAddrContext) -> i32 {
    socket::verdict(socket::forward::sendmsg::<Inet>(&ctx))
}

/// `sendmsg(2)` and `sendto(2)` with a destination, of an IPv6 UDP socket.
#[cgroup_sock_addr(sendmsg6)]
pub fn kpr_sendmsg6(ctx: SockAddrContext) -> i32 {
    socket::verdict(if is_mapped(&ctx) {
        socket::forward::sendmsg::<Mapped>(&ctx)
    } else {
        socket::forward::sendmsg::<Inet6>(&ctx)
    })
}

/// `recvmsg(2)` and `recvfrom(2)` of an IPv4 UDP socket.
#[cgroup_sock_addr(recvmsg4)]
pub fn kpr_recvmsg4(ctx: SockAddrContext) -> i32 {
    socket::reverse::peer::<Inet>(&ctx)
}

/// `recvmsg(2)` and `recvfrom(2)` of an IPv6 UDP socket.
#[cgroup_sock_addr(recvmsg6)]
pub fn kpr_recvmsg6(ctx: SockAddrContext) -> i32 {
    if is_mapped(&ctx) {
        socket::reverse::peer::<Mapped>(&ctx)
    } else {
        socket::reverse::peer::<Inet6>(&ctx)
    }
}

/// `getpeername(2)` of an IPv4 socket.
#[cgroup_sock_addr(getpeername4)]
pub fn kpr_getpeername4(ctx: SockAddrContext) -> i32 {
    socket::reverse::peer::<Inet>(&ctx)
}

/// `getpeername(2)` of an IPv6 socket.
#[cgroup_sock_addr(getpeername6)]
pub fn kpr_getpeername6(ctx: SockAddrContext) -> i32 {
    if is_mapped(&ctx) {
        socket::reverse::peer::<Mapped>(&ctx)
    } else {
        socket::reverse::peer::<Inet6>(&ctx)
    }
}

/// `bind(2)` of an IPv4 socket.
#[cgroup_sock(post_bind4)]
pub fn kpr_post_bind4(ctx: SockContext) -> i32 {
    socket::bind::bound4(&ctx)
}

/// `bind(2)` of an IPv6 socket.
#[cgroup_sock(post_bind6)]
pub fn kpr_post_bind6(ctx: SockContext) -> i32 {
    socket::bind::bound6(&ctx)
}

/// The last reference to a socket goes.
#[cgroup_sock(sock_release)]
pub fn kpr_sock_release(ctx: SockContext) -> i32 {
    socket::release::released(&ctx)
}

/// Packets that come in by an external device.
#[classifier]
pub fn kpr_ingress(ctx: TcContext) -> i32 {
    tc::ingress(&ctx, tc::ETHERNET)
}

/// The same, where there is no link header (wireguard, tun, ipip …).
#[classifier]
pub fn kpr_ingress_l3(ctx: TcContext) -> i32 {
    tc::ingress(&ctx, tc::NO_LINK_HEADER)
}

/// Packets that pods send, on pod-facing devices: for pods whose sockets the cgroup hooks do not see (virtual machines, user-space
/// kernels).
#[classifier]
pub fn kpr_pod_ingress(ctx: TcContext) -> i32 {
    tc::pod_ingress(&ctx, tc::ETHERNET)
}

/// The same, where there is no link header.
#[classifier]
pub fn kpr_pod_ingress_l3(ctx: TcContext) -> i32 {
    tc::pod_ingress(&ctx, tc::NO_LINK_HEADER)
}

/// Packets that go out by an external device, or to a pod.
#[classifier]
pub fn kpr_egress(ctx: TcContext) -> i32 {
    tc::egress(&ctx, tc::ETHERNET)
}

/// The same, where there is no link header.
#[classifier]
pub fn kpr_egress_l3(ctx: TcContext) -> i32 {
    tc::egress(&ctx, tc::NO_LINK_HEADER)
}

/// Packets that come in by an external device, before the kernel has a socket buffer for them.
#[xdp]
pub fn kpr_xdp(ctx: XdpContext) -> u32 {
    xdp::accelerate(&ctx)
}

/// What would become of a `connect(2)` to an IPv4 address: never attached.
#[cfg(feature = "events")]
#[classifier]
pub fn kpr_explain_connect4(_: TcContext) -> i32 {
    explain::connect::<kpr_abi::V4>()
}

/// The same of an IPv6 address.
#[cfg(feature = "events")]
#[classifier]
pub fn kpr_explain_connect6(_: TcContext) -> i32 {
    explain::connect::<kpr_abi::V6>()
}

#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // The verifier refuses an endless loop: a reachable panic is found when the programs are loaded, not by a user.
    loop {}
}
