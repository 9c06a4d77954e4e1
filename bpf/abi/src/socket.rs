//! What the socket hooks remember, so that a program sees the frontend that it asked for and not the backend.

use crate::{
    addr::{Addr4, Addr6, Be16},
    layout::layout,
};

/// A socket, as the kernel numbers them (`bpf_get_socket_cookie`): low and high word, for keys without padding.
pub type Cookie = [u32; 2];

/// The words of a cookie.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "the low word")]
pub const fn cookie(cookie: u64) -> Cookie {
    [cookie as u32, (cookie >> 32) as u32]
}

/// Key of a translated destination of an unconnected socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct PeerKey<A> {
    /// The socket.
    pub cookie: Cookie,
    /// The backend's address.
    pub addr: A,
    /// The backend's port.
    pub port: Be16,
    /// Always 0.
    pub zero: u16,
}

/// The frontend that a socket's peer stands for, and the backend that it was translated to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct PeerValue<A> {
    /// The frontend's address.
    pub frontend: A,
    /// The backend's address.
    pub backend: A,
    /// The frontend's port.
    pub frontend_port: Be16,
    /// The backend's port.
    pub backend_port: Be16,
    /// The backend's id at the time of translation.
    pub backend_id: u32,
}

layout!(PeerKey<Addr4>, size 16, align 4, fields [[u32; 2], Addr4, Be16, u16]);
layout!(PeerKey<Addr6>, size 28, align 4, fields [[u32; 2], Addr6, Be16, u16]);
layout!(PeerValue<Addr4>, size 16, align 4, fields [Addr4, Addr4, Be16, Be16, u32]);
layout!(PeerValue<Addr6>, size 40, align 4, fields [Addr6, Addr6, Be16, Be16, u32]);
