//! What the socket hooks remember, so that a program sees the frontend that it asked for and not the backend.

use crate::{
    addr::{Addr4, Addr6, Be16},
    layout::layout,
};

/// Key of a translated destination of an unconnected socket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct PeerKey<A> {
    /// The socket (`bpf_get_socket_cookie`), low and high word: two words keep the key free of padding.
    pub cookie: [u32; 2],
    /// The backend's address.
    pub addr: A,
    /// The backend's port.
    pub port: Be16,
    /// Always 0.
    pub zero: u16,
}

/// The frontend that a socket's peer stands for. In socket storage: with the backend that it was translated to.
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
