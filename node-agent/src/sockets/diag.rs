//! The kernel's list of sockets, and closing one of them: `sock_diag(7)`.
//!
//! A netlink socket speaks for the network namespace that its thread was in when it was opened.

use std::{io, net::SocketAddr};

use netlink_packet_core::{NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload, NetlinkSerializable};
use netlink_packet_sock_diag::{
    SockDiagDestroy, SockDiagMessage,
    constants::{AF_INET, AF_INET6},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use netlink_sys::{Socket as Netlink, protocols::NETLINK_SOCK_DIAG};

use super::Error;
use crate::model::Protocol;

/// Netlink messages start at multiples of this many bytes.
const ALIGN: usize = 4;

/// A socket that has a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    protocol: Protocol,
    /// `AF_INET` or `AF_INET6`; a socket of the latter may have IPv4-mapped addresses.
    family: u8,
    id: SocketId,
}

/// What became of a socket that was to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destroyed {
    /// It is closed: its next receive fails with ECONNABORTED; a send of a UDP socket, which has no peer now, with EDESTADDRREQ.
    Closed,
    /// It was gone, or had another peer, before it could be closed.
    Gone,
    /// The kernel was built without `CONFIG_INET_DIAG_DESTROY`.
    Unsupported,
}

impl Connected {
    /// The number that eBPF programs know it by (`bpf_get_socket_cookie`).
    pub fn cookie(&self) -> u64 {
        // Two words of the machine's byte order, the low one first (`sock_diag_save_cookie`).
        let [low, high] = [0, 4].map(|at| {
            let mut word = [0; 4];
            word.copy_from_slice(&self.id.cookie[at..at + 4]);
            u32::from_ne_bytes(word)
        });
        u64::from(high) << 32 | u64::from(low)
    }

    /// Its protocol.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Its peer. An IPv4-mapped address is shown as the IPv4 address that it stands for: what packets carry.
    pub fn peer(&self) -> SocketAddr {
        SocketAddr::new(self.id.destination_address.to_canonical(), self.id.destination_port)
    }
}

/// A conversation with the kernel about the sockets of one network namespace.
pub struct Diag {
    netlink: Netlink,
}

impl Diag {
    /// About the namespace that this thread is in.
    pub fn open() -> Result<Self, Error> {
        let failed = |source| Error::Netlink {
            what: "ask for the sockets of a namespace",
            source,
        };
        let mut netlink = Netlink::new(NETLINK_SOCK_DIAG).map_err(failed)?;
        netlink.bind_auto().map_err(failed)?;
        netlink.connect(&netlink_sys::SocketAddr::new(0, 0)).map_err(failed)?;
        Ok(Self { netlink })
    }

    /// All sockets of the protocol that have a peer, of both address families.
    pub fn connected(&self, protocol: Protocol) -> Result<Vec<Connected>, Error> {
        let mut found = Vec::new();
        for family in [AF_INET, AF_INET6] {
            self.dump(protocol, family, &mut found)?;
        }
        Ok(found)
    }

    fn dump(&self, protocol: Protocol, family: u8, found: &mut Vec<Connected>) -> Result<(), Error> {
        let failed = |source| Error::Netlink {
            what: "list the sockets of a namespace",
            source,
        };
        let id = if family == AF_INET {
            SocketId::new_v4()
        } else {
            SocketId::new_v6()
        };
        let question = SockDiagMessage::InetRequest(request(protocol, family, id));
        self.send(question, NLM_F_DUMP).map_err(failed)?;
        loop {
            let (datagram, _) = self.netlink.recv_from_full().map_err(failed)?;
            for message in messages(&datagram)? {
                match message {
                    NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(answer)) => {
                        let header = answer.header;
                        found.push(Connected {
                            protocol,
                            family: header.family,
                            id: header.socket_id,
                        });
                    }
                    NetlinkPayload::Done(_) => return Ok(()),
                    NetlinkPayload::Error(error) => {
                        // A kernel without IPv6 has no IPv6 sockets.
                        return match error.to_io().raw_os_error() {
                            Some(libc::ENOENT) if family == AF_INET6 => Ok(()),
                            _ => Err(failed(error.to_io())),
                        };
                    }
                    _ => {}
                }
            }
        }
    }

    /// Closes the socket, if it is still the one that was listed: the kernel compares the cookie.
    pub fn destroy(&self, socket: &Connected) -> Result<Destroyed, Error> {
        let failed = |source| Error::Netlink {
            what: "close a socket",
            source,
        };
        let order = request(socket.protocol, socket.family, socket.id.clone());
        let order = SockDiagDestroy::new(SockDiagMessage::InetRequest(order));
        self.send(order, NLM_F_ACK).map_err(failed)?;
        loop {
            let (datagram, _) = self.netlink.recv_from_full().map_err(failed)?;
            for message in messages(&datagram)? {
                if let NetlinkPayload::Error(answer) = message {
                    let Some(code) = answer.code else {
                        return Ok(Destroyed::Closed);
                    };
                    return match -code.get() {
                        libc::ENOENT | libc::ESTALE => Ok(Destroyed::Gone),
                        libc::EOPNOTSUPP => Ok(Destroyed::Unsupported),
                        _ => Err(failed(answer.to_io())),
                    };
                }
            }
        }
    }

    /// Whether the kernel can close sockets, asked with one that cannot exist: nothing is bound to port 0.
    pub fn can_destroy(&self, protocol: Protocol) -> Result<bool, Error> {
        let nobody = Connected {
            protocol,
            family: AF_INET,
            id: SocketId::new_v4(),
        };
        self.destroy(&nobody).map(|outcome| outcome != Destroyed::Unsupported)
    }

    fn send<T>(&self, payload: T, flags: u16) -> io::Result<()>
    where
        T: NetlinkSerializable + Into<NetlinkPayload<T>>,
    {
        let mut message = NetlinkMessage::from(payload);
        message.header.flags = NLM_F_REQUEST | flags;
        message.finalize();
        let mut buffer = vec![0; message.buffer_len()];
        message.serialize(&mut buffer);
        self.netlink.send(&buffer, 0).map(drop)
    }
}

fn request(protocol: Protocol, family: u8, socket_id: SocketId) -> InetRequest {
    InetRequest {
        family,
        protocol: protocol.number(),
        extensions: ExtensionFlags::empty(),
        states: match protocol {
            // A UDP socket with a peer is "established"; one without is "closed", and has no backend.
            Protocol::Udp => StateFlags::ESTABLISHED,
            Protocol::Tcp | Protocol::Sctp => {
                StateFlags::ESTABLISHED
                    | StateFlags::SYN_SENT
                    | StateFlags::FIN_WAIT1
                    | StateFlags::FIN_WAIT2
                    | StateFlags::CLOSE_WAIT
            }
        },
        socket_id,
    }
}

/// The messages of one datagram.
fn messages(datagram: &[u8]) -> Result<Vec<NetlinkPayload<SockDiagMessage>>, Error> {
    let mut messages = Vec::new();
    let mut rest = datagram;
    while !rest.is_empty() {
        let message =
            NetlinkMessage::<SockDiagMessage>::deserialize(rest).map_err(|error| Error::Answer(error.to_string()))?;
        let length = message.header.length as usize;
        if length == 0 {
            return Err(Error::Answer("a message of length 0".into()));
        }
        messages.push(message.payload);
        rest = rest.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
    }
    Ok(messages)
}

#[cfg(test)]
impl Connected {
    /// The same, of another protocol.
    pub(super) fn over(self, protocol: Protocol) -> Self {
        Self { protocol, ..self }
    }
}

/// A listed UDP socket for tests.
#[cfg(test)]
pub(super) fn socket(cookie: u64, peer: SocketAddr) -> Connected {
    let (family, mut id) = match peer.ip() {
        std::net::IpAddr::V4(_) => (AF_INET, SocketId::new_v4()),
        std::net::IpAddr::V6(_) => (AF_INET6, SocketId::new_v6()),
    };
    id.destination_address = peer.ip();
    id.destination_port = peer.port();
    let (low, high) = (
        cookie.to_le_bytes()[..4].to_owned(),
        cookie.to_le_bytes()[4..].to_owned(),
    );
    id.cookie.copy_from_slice(&[low, high].concat());
    Connected {
        protocol: Protocol::Udp,
        family,
        id,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the kernel answers to a dump: one IPv6 UDP socket, connected to ::ffff:10.244.0.3 port 53, with an attribute
    /// (`INET_DIAG_SHUTDOWN`) behind it, then the end.
    fn dumped() -> Vec<u8> {
        let mut socket = vec![AF_INET6, 1, 0, 0];
        socket.extend(40_000_u16.to_be_bytes());
        socket.extend(53_u16.to_be_bytes());
        for last in [2, 3] {
            socket.extend([0; 10]);
            socket.extend([0xff, 0xff, 10, 244, 0, last]);
        }
        socket.extend(0_u32.to_ne_bytes());
        socket.extend(0x89ab_cdef_u32.to_ne_bytes());
        socket.extend(0x0123_4567_u32.to_ne_bytes());
        socket.extend([0; 20]);
        socket.extend([5, 0, 8, 0, 0, 0, 0, 0]);
        let message = |kind: u16, body: &[u8]| {
            let length = u32::try_from(16 + body.len()).unwrap();
            let mut message = length.to_ne_bytes().to_vec();
            message.extend(kind.to_ne_bytes());
            message.extend([2, 0]);
            message.extend([0; 8]);
            message.extend(body);
            message
        };
        [message(20, &socket), message(3, &[0; 4])].concat()
    }

    #[test]
    fn a_listed_socket_is_read_with_its_cookie_and_its_plain_peer() {
        let messages = messages(&dumped()).unwrap();
        let [
            NetlinkPayload::InnerMessage(SockDiagMessage::InetResponse(answer)),
            NetlinkPayload::Done(_),
        ] = &messages[..]
        else {
            panic!("{messages:?}");
        };
        let socket = Connected {
            protocol: Protocol::Udp,
            family: answer.header.family,
            id: answer.header.socket_id.clone(),
        };
        assert_eq!(socket.cookie(), 0x0123_4567_89ab_cdef);
        assert_eq!(socket.peer(), "10.244.0.3:53".parse().unwrap());
    }

    #[test]
    fn a_torn_answer_is_an_error() {
        let mut torn = dumped();
        torn.truncate(40);
        assert!(messages(&torn).is_err());
        assert!(messages(&[0; 16]).is_err());
    }

    #[test]
    fn an_order_names_the_socket_as_it_was_listed() {
        let socket = socket(0x0123_4567_89ab_cdef, "10.244.0.3:53".parse().unwrap());
        let order = request(socket.protocol, socket.family, socket.id.clone());
        let order = SockDiagMessage::InetRequest(order);
        let mut bytes = vec![0; NetlinkSerializable::buffer_len(&order)];
        order.serialize(&mut bytes);
        assert_eq!(bytes.len(), 56, "struct inet_diag_req_v2");
        assert_eq!(bytes[..2], [AF_INET, 17]);
        assert_eq!(bytes[10..12], 53_u16.to_be_bytes());
        assert_eq!(bytes[28..32], [10, 244, 0, 3]);
        assert_eq!(bytes[48..52], 0x89ab_cdef_u32.to_ne_bytes());
        assert_eq!(bytes[52..], 0x0123_4567_u32.to_ne_bytes());
    }
}
