//! The destination or source of a socket call. Each field is read and written by its own fixed offset: the verifier refuses
//! a pointer into the context that depends on a branch.

use super::raw;
use crate::service_counts::Counted;
use aya_ebpf::{
    EbpfContext as _,
    helpers::{bpf_get_netns_cookie, bpf_get_socket_cookie},
    programs::SockAddrContext,
};
use core::ptr::{read_volatile, write_volatile};
use kpr_abi::{Addr4, Addr6, Be16, V4, V6};

/// How an address stands in the context of a hook.
pub trait SocketAddress {
    /// The family whose services it may name.
    type Family: Counted;
    /// The context.
    type Call: Call;

    /// The address, if it is one of the family.
    fn read(ctx: &Self::Call) -> Option<<Self::Family as kpr_abi::Family>::Addr>;

    /// Replaces the address.
    fn write(ctx: &Self::Call, addr: <Self::Family as kpr_abi::Family>::Addr);
}

/// Addresses of the family.
pub type Addr<S> = <<S as SocketAddress>::Family as kpr_abi::Family>::Addr;

/// A socket call: what stands beside its address, and whose it is.
pub trait Call {
    /// The port.
    fn port(&self) -> Be16;

    /// Replaces the port.
    fn set_port(&self, port: Be16);

    /// The socket's protocol, if it is one that services have.
    fn protocol(&self) -> Option<u8>;

    /// The kernel's number of the socket.
    fn number(&self) -> u64;

    /// Cookie of the socket's network namespace.
    fn netns(&self) -> u64;

    /// Adds to an event whose call it is.
    #[cfg(feature = "events")]
    fn identify(&self, event: &mut kpr_abi::Event);
}

/// IPv4 in the IPv4 hooks.
pub struct Inet;

impl SocketAddress for Inet {
    type Family = V4;
    type Call = SockAddrContext;

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
    type Call = SockAddrContext;

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
    type Call = SockAddrContext;

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

impl Call for SockAddrContext {
    #[inline(always)]
    fn port(&self) -> Be16 {
        // SAFETY: the field is part of every hook's context.
        let port = unsafe { read_volatile(&raw const (*raw(self)).user_port) };
        Be16(port as u16)
    }

    #[inline(always)]
    fn set_port(&self, port: Be16) {
        // SAFETY: the field is part of every hook's context and may be written.
        unsafe { write_volatile(&raw mut (*raw(self)).user_port, u32::from(port.0)) }
    }

    #[inline(always)]
    fn protocol(&self) -> Option<u8> {
        // SAFETY: the field is part of every hook's context.
        match unsafe { read_volatile(&raw const (*raw(self)).protocol) } {
            6 => Some(kpr_abi::proto::TCP),
            17 => Some(kpr_abi::proto::UDP),
            _ => None,
        }
    }

    #[inline(always)]
    fn number(&self) -> u64 {
        // SAFETY: a helper on the hook's own context.
        unsafe { bpf_get_socket_cookie(self.as_ptr()) }
    }

    #[inline(always)]
    fn netns(&self) -> u64 {
        // SAFETY: a helper on the hook's own context.
        unsafe { bpf_get_netns_cookie(self.as_ptr()) }
    }

    #[cfg(feature = "events")]
    #[inline(always)]
    fn identify(&self, event: &mut kpr_abi::Event) {
        crate::events::identify(event);
    }
}
