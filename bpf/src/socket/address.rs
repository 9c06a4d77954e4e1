//! The destination or source of a socket call. Each field is read and written by its own fixed offset: the verifier refuses
//! a pointer into the context that depends on a branch.

use super::raw;
use crate::maps::Tables;
use aya_ebpf::programs::SockAddrContext;
use core::ptr::{read_volatile, write_volatile};
use kpr_abi::{Addr4, Addr6, Be16, V4, V6};

/// How an address stands in the context of a hook.
pub trait SocketAddress {
    /// The family whose services it may name.
    type Family: Tables;

    /// The address, if it is one of the family.
    fn read(ctx: &SockAddrContext) -> Option<<Self::Family as kpr_abi::Family>::Addr>;

    /// Replaces the address.
    fn write(ctx: &SockAddrContext, addr: <Self::Family as kpr_abi::Family>::Addr);
}

/// IPv4 in the IPv4 hooks.
pub struct Inet;

impl SocketAddress for Inet {
    type Family = V4;

    #[inline(always)]
    fn read(ctx: &SockAddrContext) -> Option<Addr4> {
        // SAFETY: the field is part of this hook's context.
        Some(Addr4(unsafe { read_volatile(&raw const (*raw(ctx)).user_ip4) }))
    }

    #[inline(always)]
    fn write(ctx: &SockAddrContext, addr: Addr4) {
        // SAFETY: the field is part of this hook's context and may be written.
        unsafe { write_volatile(&raw mut (*raw(ctx)).user_ip4, addr.0) }
    }
}

/// IPv4-mapped addresses (`::ffff:a.b.c.d`, RFC 4291 §2.5.5.2) in the IPv6 hooks.
pub struct Mapped;

impl SocketAddress for Mapped {
    type Family = V4;

    #[inline(always)]
    fn read(ctx: &SockAddrContext) -> Option<Addr4> {
        // SAFETY: the words are part of this hook's context.
        let word = |i: usize| unsafe { read_volatile(&raw const (*raw(ctx)).user_ip6[i]) };
        let (w0, w1, w2, w3) = (word(0), word(1), word(2), word(3));
        (w0 | w1 == 0 && w2 == 0x0000_ffff_u32.to_be()).then_some(Addr4(w3))
    }

    #[inline(always)]
    fn write(ctx: &SockAddrContext, addr: Addr4) {
        // SAFETY: the word is part of this hook's context and may be written.
        unsafe { write_volatile(&raw mut (*raw(ctx)).user_ip6[3], addr.0) }
    }
}

/// IPv6 in the IPv6 hooks.
pub struct Inet6;

impl SocketAddress for Inet6 {
    type Family = V6;

    #[inline(always)]
    fn read(ctx: &SockAddrContext) -> Option<Addr6> {
        // SAFETY: the words are part of this hook's context.
        let word = |i: usize| unsafe { read_volatile(&raw const (*raw(ctx)).user_ip6[i]) };
        Some(Addr6([word(0), word(1), word(2), word(3)]))
    }

    #[inline(always)]
    fn write(ctx: &SockAddrContext, Addr6(addr): Addr6) {
        // SAFETY: the words are part of this hook's context and may be written.
        let set = |i: usize| unsafe { write_volatile(&raw mut (*raw(ctx)).user_ip6[i], addr[i]) };
        set(0);
        set(1);
        set(2);
        set(3);
    }
}

/// Whether an IPv6 hook has to do with an IPv4 address.
#[inline(always)]
pub fn is_mapped(ctx: &SockAddrContext) -> bool {
    Mapped::read(ctx).is_some()
}

/// The port beside the address.
#[inline(always)]
pub fn port(ctx: &SockAddrContext) -> Be16 {
    // SAFETY: the field is part of every hook's context.
    let port = unsafe { read_volatile(&raw const (*raw(ctx)).user_port) };
    Be16(port as u16)
}

/// Replaces the port beside the address.
#[inline(always)]
pub fn set_port(ctx: &SockAddrContext, port: Be16) {
    // SAFETY: the field is part of every hook's context and may be written.
    unsafe { write_volatile(&raw mut (*raw(ctx)).user_port, u32::from(port.0)) }
}

/// The socket's protocol, if it is one that services have.
#[inline(always)]
pub fn protocol(ctx: &SockAddrContext) -> Option<u8> {
    // SAFETY: the field is part of every hook's context.
    match unsafe { read_volatile(&raw const (*raw(ctx)).protocol) } {
        6 => Some(kpr_abi::proto::TCP),
        17 => Some(kpr_abi::proto::UDP),
        _ => None,
    }
}
