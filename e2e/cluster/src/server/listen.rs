//! Sockets of both families for one port.
//!
//! Each family has a socket of its own, so that clients appear with plain IPv4 addresses and not with IPv4-mapped ones.

use std::{
    io,
    net::{
        Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener as StdListener, UdpSocket as StdSocket,
    },
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockProtocol, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
        sockopt,
    },
};
use tokio::net::{TcpListener, UdpSocket};

/// Listens on a TCP port, in each family that the kernel knows.
pub(super) fn tcp(port: u16) -> io::Result<Vec<TcpListener>> {
    let listener = |address| {
        let socket = bound(address, SockType::Stream, SockProtocol::Tcp)?;
        listen(&socket, Backlog::MAXCONN)?;
        TcpListener::from_std(StdListener::from(socket))
    };
    each(port, listener)
}

/// Binds a UDP port, in each family that the kernel knows.
pub(super) fn udp(port: u16) -> io::Result<Vec<UdpSocket>> {
    let receiver =
        |address| UdpSocket::from_std(StdSocket::from(bound(address, SockType::Datagram, SockProtocol::Udp)?));
    each(port, receiver)
}

fn each<S>(port: u16, make: impl Fn(SocketAddr) -> io::Result<S>) -> io::Result<Vec<S>> {
    let v4 = SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port).into();
    let v6 = SocketAddrV6::new(Ipv6Addr::UNSPECIFIED, port, 0, 0).into();
    let mut sockets = vec![make(v4)?];
    match make(v6) {
        Ok(socket) => sockets.push(socket),
        // A kernel without IPv6.
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
        Err(error) => return Err(error),
    }
    Ok(sockets)
}

fn bound(address: SocketAddr, kind: SockType, protocol: SockProtocol) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, kind, flags, protocol)?;
    if address.is_ipv6() {
        setsockopt(&socket, sockopt::Ipv6V6Only, &true)?;
    }
    if kind == SockType::Stream {
        setsockopt(&socket, sockopt::ReuseAddr, &true)?;
    }
    bind(socket.as_raw_fd(), &SockaddrStorage::from(address))?;
    Ok(socket)
}
