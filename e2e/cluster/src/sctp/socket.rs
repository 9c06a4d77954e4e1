//! A raw socket of IP protocol 132.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd as _, OwnedFd},
};

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, connect, recvfrom, sendto, socket,
};
use tokio::io::{Interest, unix::AsyncFd};

use super::Packet;

/// Longest packet that is read, in bytes.
const LONGEST: usize = 65_536;

/// Receives every packet of SCTP that comes to its network namespace, or from its peer if it has one, and sends packets to anyone.
#[derive(Debug)]
pub(crate) struct RawSocket {
    socket: AsyncFd<OwnedFd>,
    is_ipv4: bool,
}

impl RawSocket {
    /// A socket of the family of `address`, connected if that is not unspecified: then ICMP errors about its packets show as errors.
    pub(crate) fn new(address: IpAddr) -> io::Result<Self> {
        let family = if address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        let socket = socket(family, SockType::Raw, flags, SockProtocol::Sctp)?;
        if !address.is_unspecified() {
            connect(socket.as_raw_fd(), &raw_address(address))?;
        }
        // SAFETY: `OwnedFd` names one descriptor as long as it lives, which nothing replaces.
        let socket = unsafe { AsyncFd::register(socket) }?;
        Ok(Self {
            socket,
            is_ipv4: address.is_ipv4(),
        })
    }

    /// One for each family that the kernel knows, for packets of everyone.
    pub(crate) fn listening() -> io::Result<Vec<Self>> {
        let mut sockets = vec![Self::new(Ipv4Addr::UNSPECIFIED.into())?];
        match Self::new(Ipv6Addr::UNSPECIFIED.into()) {
            Ok(socket) => sockets.push(socket),
            // A kernel without IPv6.
            Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {}
            Err(error) => return Err(error),
        }
        Ok(sockets)
    }

    /// Sends a packet.
    pub(crate) async fn send(&self, packet: &Packet, to: IpAddr) -> io::Result<()> {
        let bytes = packet.bytes();
        loop {
            let mut ready = self.socket.writable().await?;
            let sent = ready.try_io(|socket| {
                let to = raw_address(to);
                Ok(sendto(socket.as_raw_fd(), &bytes, &to, MsgFlags::empty())?)
            });
            if let Ok(sent) = sent {
                return sent.map(|_length| ());
            }
        }
    }

    /// The next packet whose checksum is right, and who sent it.
    pub(crate) async fn receive(&self) -> io::Result<(IpAddr, Packet)> {
        let mut buffer = vec![0; LONGEST];
        loop {
            // An ICMP error makes the socket not readable: it is an error.
            let mut ready = self.socket.ready(Interest::READABLE | Interest::ERROR).await?;
            let received = ready.try_io(|socket| Ok(recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut buffer)?));
            let Ok(received) = received else { continue };
            let (length, source) = received?;
            // A raw socket of IPv4 gets the IP header too, one of IPv6 does not.
            let header = if self.is_ipv4 {
                usize::from(buffer[0] & 0x0f) * 4
            } else {
                0
            };
            let packet = buffer[..length].get(header..).and_then(Packet::read);
            if let (Some(source), Some(packet)) = (source.and_then(ip), packet) {
                return Ok((source, packet));
            }
        }
    }
}

/// Raw sockets have no ports.
fn raw_address(address: IpAddr) -> SockaddrStorage {
    SockaddrStorage::from(SocketAddr::new(address, 0))
}

fn ip(address: SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| address.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|address| address.ip().into()))
}
