//! Connections that netfilter tracks, and how it translates them (`include/uapi/linux/netfilter/nfnetlink_conntrack.h`).

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use super::{
    Error,
    message::{Attributes, NLM_F_CREATE, NLM_F_EXCL, Nfnetlink, attribute},
};

/// Subsystem `NFNL_SUBSYS_CTNETLINK`, messages `IPCTNL_MSG_CT_*`.
const NEW: u16 = 0x100;
const GET: u16 = 0x101;
const DELETE: u16 = 0x102;

const CTA_TUPLE_ORIG: u16 = 1;
const CTA_TUPLE_REPLY: u16 = 2;
const CTA_STATUS: u16 = 3;
const CTA_PROTOINFO: u16 = 4;
const CTA_NAT_SRC: u16 = 6;
const CTA_TIMEOUT: u16 = 7;
const CTA_NAT_DST: u16 = 13;

const CTA_TUPLE_IP: u16 = 1;
const CTA_TUPLE_PROTO: u16 = 2;
const CTA_IP_V4_SRC: u16 = 1;
const CTA_IP_V4_DST: u16 = 2;
const CTA_IP_V6_SRC: u16 = 3;
const CTA_IP_V6_DST: u16 = 4;
const CTA_PROTO_NUM: u16 = 1;
const CTA_PROTO_SRC_PORT: u16 = 2;
const CTA_PROTO_DST_PORT: u16 = 3;

const CTA_NAT_V4_MINIP: u16 = 1;
const CTA_NAT_V4_MAXIP: u16 = 2;
const CTA_NAT_PROTO: u16 = 3;
const CTA_NAT_V6_MINIP: u16 = 4;
const CTA_NAT_V6_MAXIP: u16 = 5;
const CTA_PROTONAT_PORT_MIN: u16 = 1;
const CTA_PROTONAT_PORT_MAX: u16 = 2;

const CTA_PROTOINFO_TCP: u16 = 1;
const CTA_PROTOINFO_TCP_STATE: u16 = 1;
const CTA_PROTOINFO_TCP_FLAGS_ORIGINAL: u16 = 4;
const CTA_PROTOINFO_TCP_FLAGS_REPLY: u16 = 5;
const TCP_CONNTRACK_ESTABLISHED: u8 = 3;
/// `IP_CT_TCP_FLAG_BE_LIBERAL`: the windows of a connection that was not seen from its beginning are not known.
const TCP_BE_LIBERAL: u8 = 0x08;

/// Both sides have spoken: it is not dropped early.
const IPS_SEEN_REPLY: u32 = 1 << 1;
const IPS_ASSURED: u32 = 1 << 2;
/// What every connection in the kernel's table has: one that is put there must have it, too.
const IPS_CONFIRMED: u32 = 1 << 3;

/// Idle times of what is handed over, until its next packet sets the kernel's own.
const TCP_SECONDS: u32 = 86_400;
const UDP_SECONDS: u32 = 120;

/// Addresses and ports of packets of one direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tuple {
    /// Who sends them.
    pub src: SocketAddr,
    /// Where they go.
    pub dst: SocketAddr,
    /// IP protocol number.
    pub proto: u8,
}

/// A tracked connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Packets of the one who began it, before any translation.
    pub original: Tuple,
    /// Packets that answer them, before any translation.
    pub reply: Tuple,
    /// It is no beginner: both sides have spoken for a while.
    pub assured: bool,
    /// Seconds until it is forgotten if nobody speaks.
    pub seconds_left: u32,
}

/// What becomes of a connection's first direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// New source: the one it has, if it is to stay.
    pub src: SocketAddr,
    /// New destination.
    pub dst: SocketAddr,
}

impl Tuple {
    /// Packets the other way.
    #[must_use]
    pub fn inverse(&self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            proto: self.proto,
        }
    }

    fn family(&self) -> u8 {
        let family = if self.src.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        u8::try_from(family).unwrap_or_default()
    }

    fn write(&self, kind: u16, to: &mut Attributes) {
        to.nest(kind, |tuple| {
            tuple.nest(CTA_TUPLE_IP, |ip| {
                for (address, v4, v6) in [
                    (self.src.ip(), CTA_IP_V4_SRC, CTA_IP_V6_SRC),
                    (self.dst.ip(), CTA_IP_V4_DST, CTA_IP_V6_DST),
                ] {
                    match address {
                        IpAddr::V4(address) => ip.put(v4, &address.octets()),
                        IpAddr::V6(address) => ip.put(v6, &address.octets()),
                    };
                }
            });
            tuple.nest(CTA_TUPLE_PROTO, |proto| {
                proto.put(CTA_PROTO_NUM, &[self.proto]);
                proto.put(CTA_PROTO_SRC_PORT, &self.src.port().to_be_bytes());
                proto.put(CTA_PROTO_DST_PORT, &self.dst.port().to_be_bytes());
            });
        });
    }

    /// None for what has no ports.
    fn read(bytes: &[u8]) -> Option<Self> {
        let (ip, proto) = (attribute(bytes, CTA_TUPLE_IP)?, attribute(bytes, CTA_TUPLE_PROTO)?);
        let address = |v4: u16, v6: u16| -> Option<IpAddr> {
            if let Some(octets) = attribute(ip, v4) {
                return Some(<[u8; 4]>::try_from(octets).ok()?.into());
            }
            Some(<[u8; 16]>::try_from(attribute(ip, v6)?).ok()?.into())
        };
        let port = |kind| Some(u16::from_be_bytes(attribute(proto, kind)?.try_into().ok()?));
        Some(Self {
            src: SocketAddr::new(address(CTA_IP_V4_SRC, CTA_IP_V6_SRC)?, port(CTA_PROTO_SRC_PORT)?),
            dst: SocketAddr::new(address(CTA_IP_V4_DST, CTA_IP_V6_DST)?, port(CTA_PROTO_DST_PORT)?),
            proto: *attribute(proto, CTA_PROTO_NUM)?.first()?,
        })
    }
}

impl Connection {
    /// Whether netfilter leads it elsewhere than where its sender sends it.
    pub fn is_redirected(&self) -> bool {
        self.reply.src != self.original.dst
    }
}

/// The connections of the network namespace that this thread is in.
pub struct Conntrack(Nfnetlink);

impl Conntrack {
    /// Fails where the kernel has no `nf_conntrack_netlink`.
    pub fn open() -> Result<Self, Error> {
        Nfnetlink::open()
            .map(Self)
            .map_err(failed("speak with the kernel about its connections"))
    }

    /// All connections of a protocol whose destination is translated. `ipv4`, or else IPv6.
    pub fn redirected(&self, ipv4: bool, proto: u8) -> Result<Vec<Connection>, Error> {
        let family = if ipv4 { libc::AF_INET } else { libc::AF_INET6 };
        let mut found = Vec::new();
        let take = |entry: &[u8]| {
            let tuple = |kind| Tuple::read(attribute(entry, kind)?).filter(|tuple| tuple.proto == proto);
            if let (Some(original), Some(reply)) = (tuple(CTA_TUPLE_ORIG), tuple(CTA_TUPLE_REPLY)) {
                let number = |kind| {
                    attribute(entry, kind)?
                        .first_chunk()
                        .map(|bytes| u32::from_be_bytes(*bytes))
                };
                found.push(Connection {
                    original,
                    reply,
                    assured: number(CTA_STATUS).unwrap_or_default() & IPS_ASSURED != 0,
                    seconds_left: number(CTA_TIMEOUT).unwrap_or_default(),
                });
            }
        };
        self.0
            .list(
                GET,
                u8::try_from(family).unwrap_or_default(),
                &Attributes::default(),
                take,
            )
            .map_err(failed("list the kernel's connections"))?;
        found.retain(Connection::is_redirected);
        Ok(found)
    }

    /// Makes netfilter track and translate an established connection, whose packets begin as `original`.
    pub fn insert(&self, original: &Tuple, nat: &Nat) -> Result<(), Error> {
        let mut order = Attributes::default();
        original.write(CTA_TUPLE_ORIG, &mut order);
        // Before translation: the kernel derives the real one from the two below.
        original.inverse().write(CTA_TUPLE_REPLY, &mut order);
        order.put(
            CTA_STATUS,
            &(IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED).to_be_bytes(),
        );
        let is_tcp = original.proto == kpr_abi::proto::TCP;
        let seconds = if is_tcp { TCP_SECONDS } else { UDP_SECONDS };
        order.put(CTA_TIMEOUT, &seconds.to_be_bytes());
        if is_tcp {
            order.nest(CTA_PROTOINFO, |info| {
                info.nest(CTA_PROTOINFO_TCP, |tcp| {
                    tcp.put(CTA_PROTOINFO_TCP_STATE, &[TCP_CONNTRACK_ESTABLISHED]);
                    for side in [CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, CTA_PROTOINFO_TCP_FLAGS_REPLY] {
                        // Flags, and which of them are meant.
                        tcp.put(side, &[TCP_BE_LIBERAL, TCP_BE_LIBERAL]);
                    }
                });
            });
        }
        // Both exactly: left to itself, the kernel would take another source port where this one is in use.
        range(CTA_NAT_DST, nat.dst, &mut order);
        range(CTA_NAT_SRC, nat.src, &mut order);
        self.0
            .order(NEW, NLM_F_CREATE | NLM_F_EXCL, original.family(), &order)
            .map_err(failed("give the kernel a connection"))
    }

    /// Forgets the connection that has packets of this tuple, whichever direction they are. None is no error.
    pub fn forget(&self, tuple: &Tuple) -> Result<(), Error> {
        let mut order = Attributes::default();
        tuple.write(CTA_TUPLE_ORIG, &mut order);
        match self.0.order(DELETE, 0, tuple.family(), &order) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
            other => other.map_err(failed("make the kernel forget a connection")),
        }
    }
}

/// One address and one port to translate to.
fn range(kind: u16, to: SocketAddr, order: &mut Attributes) {
    order.nest(kind, |range| {
        match to.ip() {
            IpAddr::V4(address) => range
                .put(CTA_NAT_V4_MINIP, &address.octets())
                .put(CTA_NAT_V4_MAXIP, &address.octets()),
            IpAddr::V6(address) => range
                .put(CTA_NAT_V6_MINIP, &address.octets())
                .put(CTA_NAT_V6_MAXIP, &address.octets()),
        };
        range.nest(CTA_NAT_PROTO, |proto| {
            proto.put(CTA_PROTONAT_PORT_MIN, &to.port().to_be_bytes());
            proto.put(CTA_PROTONAT_PORT_MAX, &to.port().to_be_bytes());
        });
    });
}

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |source| Error { what, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tuple_is_read_as_it_was_written() {
        for (src, dst) in [
            ("192.168.49.100:40000", "192.168.49.2:31683"),
            ("[fd00:49::100]:40000", "[fd00:49::2]:31683"),
        ] {
            let tuple = Tuple {
                src: src.parse().unwrap(),
                dst: dst.parse().unwrap(),
                proto: 17,
            };
            let mut written = Attributes::default();
            tuple.write(CTA_TUPLE_ORIG, &mut written);
            let read = written.with(|bytes| Tuple::read(attribute(bytes, CTA_TUPLE_ORIG)?));
            assert_eq!(read, Some(tuple));
        }
    }
}
