//! nfnetlink: messages with nested attributes, as `nf_conntrack` and `nf_tables` read and write them
//! (`include/uapi/linux/netfilter/nfnetlink.h`).

use std::io;

use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_NETFILTER};
use nix::sys::socket::{setsockopt, sockopt::SndBufForce};

/// `struct nlmsghdr` and `struct nfgenmsg`.
const HEADER: usize = 16;
const GENERIC: usize = 4;
const ALIGN: usize = 4;

/// The kernel makes the parts of a list as large as what they are read into, up to half of this. Each part costs it a walk over all that
/// was listed before.
const DUMP: usize = 64 * 1024;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
/// Fail if there is one already.
pub(super) const NLM_F_EXCL: u16 = 0x200;
pub(super) const NLM_F_CREATE: u16 = 0x400;
pub(super) const NLM_F_DUMP: u16 = 0x300;

/// `NFNL_MSG_BATCH_BEGIN`, `NFNL_MSG_BATCH_END` and the subsystem that has batches.
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NF_TABLES: u16 = 10;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLA_F_NESTED: u16 = 0x8000;
const NLA_TYPE: u16 = 0x3fff;

/// Attributes in the making.
#[derive(Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) -> &mut Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(ALIGN), 0);
        self
    }

    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Self)) -> &mut Self {
        let mut inner = Self::default();
        fill(&mut inner);
        self.put(kind | NLA_F_NESTED, &inner.0)
    }

    #[cfg(test)]
    pub(super) fn with<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        read(&self.0)
    }
}

/// Attributes that were read: kind and value.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let (head, _) = bytes.split_at_checked(4)?;
        let length = usize::from(u16::from_ne_bytes([head[0], head[1]]));
        let kind = u16::from_ne_bytes([head[2], head[3]]) & NLA_TYPE;
        let value = bytes.get(4..length)?;
        bytes = bytes.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of this kind.
pub(super) fn attribute(bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(kind, _)| *kind == wanted)
        .map(|(_, value)| value)
}

/// A conversation with netfilter about the network namespace that this thread was in when it began.
pub(super) struct Nfnetlink(Socket);

impl Nfnetlink {
    pub(super) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_NETFILTER)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    /// Gives an order, and waits until it is carried out. `family`: `AF_INET`, `AF_INET6`.
    pub(super) fn order(&self, kind: u16, flags: u16, family: u8, attributes: &Attributes) -> io::Result<()> {
        self.send(kind, flags | NLM_F_ACK, family, attributes)?;
        loop {
            let (datagram, _) = self.0.recv_from_full()?;
            for (kind, body) in messages(&datagram) {
                if kind == NLMSG_ERROR {
                    return error(body);
                }
            }
        }
    }

    /// Asks for a list: `take` is given the attributes of each entry.
    pub(super) fn list(
        &self,
        kind: u16,
        family: u8,
        attributes: &Attributes,
        mut take: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        self.send(kind, NLM_F_DUMP, family, attributes)?;
        let mut datagram = Vec::with_capacity(DUMP);
        loop {
            datagram.clear();
            self.0.recv(&mut datagram, 0)?;
            for (kind, body) in messages(&datagram) {
                match kind {
                    NLMSG_DONE => return Ok(()),
                    NLMSG_ERROR => return error(body),
                    _ => take(body.get(GENERIC..).unwrap_or_default()),
                }
            }
        }
    }

    /// Gives orders to nf_tables that are carried out all or not at all.
    pub(super) fn transaction(&self, orders: &[Order]) -> io::Result<()> {
        let mut batch = message(BATCH_BEGIN, 0, 0, NF_TABLES, &Attributes::default());
        for (index, order) in orders.iter().enumerate() {
            // The last one tells: an error of an earlier one comes in its place.
            let ack = if index + 1 == orders.len() { NLM_F_ACK } else { 0 };
            batch.extend(message(
                order.kind,
                order.flags | ack,
                order.family,
                0,
                &order.attributes,
            ));
        }
        batch.extend(message(BATCH_END, 0, 0, NF_TABLES, &Attributes::default()));
        self.make_room(batch.len())?;
        self.0.send(&batch, 0)?;
        loop {
            let (datagram, _) = self.0.recv_from_full()?;
            for (kind, body) in messages(&datagram) {
                if kind == NLMSG_ERROR {
                    return error(body);
                }
            }
        }
    }

    /// A transaction is one datagram: those of ten thousand Services are larger than a socket's buffer is at first.
    fn make_room(&self, length: usize) -> io::Result<()> {
        const AT_FIRST: usize = 64 * 1024;
        if length > AT_FIRST {
            setsockopt(&self.0, SndBufForce, &(2 * length))?;
        }
        Ok(())
    }

    fn send(&self, kind: u16, flags: u16, family: u8, attributes: &Attributes) -> io::Result<()> {
        let message = message(kind, flags, family, 0, attributes);
        self.0.send(&message, 0).map(|_length| ())
    }
}

/// One order of a transaction.
pub(super) struct Order {
    kind: u16,
    flags: u16,
    family: u8,
    attributes: Attributes,
}

impl Order {
    pub(super) fn new(kind: u16, flags: u16, family: u8, attributes: Attributes) -> Self {
        Self {
            kind,
            flags,
            family,
            attributes,
        }
    }
}

/// `resource`: the subsystem that a batch is for.
fn message(kind: u16, flags: u16, family: u8, resource: u16, attributes: &Attributes) -> Vec<u8> {
    let length = HEADER + GENERIC + attributes.0.len();
    let mut message = Vec::with_capacity(length);
    message.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend((flags | NLM_F_REQUEST).to_ne_bytes());
    // Sequence number and sender: one question at a time, on a socket of its own.
    message.extend([0; 8]);
    message.extend([family, 0]);
    message.extend(resource.to_be_bytes());
    message.extend(&attributes.0);
    message
}

/// Kind and body of each message of a datagram.
fn messages(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let head = bytes.get(..HEADER)?;
        let length = usize::try_from(u32::from_ne_bytes([head[0], head[1], head[2], head[3]])).ok()?;
        let body = bytes.get(HEADER..length)?;
        bytes = bytes.get(length.next_multiple_of(ALIGN)..).unwrap_or_default();
        Some((u16::from_ne_bytes([head[4], head[5]]), body))
    })
}

/// An acknowledgement is an error with the number 0.
fn error(body: &[u8]) -> io::Result<()> {
    let number = body
        .first_chunk()
        .map_or(-libc::EPROTO, |bytes| i32::from_ne_bytes(*bytes));
    if number == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(-number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut written = Attributes::default();
        written.put(1, &[7]).nest(2, |inner| {
            inner.put(3, b"name\0");
        });
        assert_eq!(written.0.len() % ALIGN, 0);
        assert_eq!(attribute(&written.0, 1), Some(&[7][..]));
        let nested = attribute(&written.0, 2).unwrap();
        assert_eq!(attribute(nested, 3), Some(&b"name\0"[..]));
        assert_eq!(attribute(&written.0, 3), None);
    }

    #[test]
    fn what_is_cut_off_ends_the_list() {
        let mut written = Attributes::default();
        written.put(1, &[7]).put(2, &[1, 2, 3, 4, 5, 6]);
        let cut = &written.0[..written.0.len() - 4];
        assert_eq!(attributes(cut).count(), 1);
        // A length of nothing must not be read for ever.
        assert_eq!(attributes(&[0; 8]).count(), 0);
    }
}
