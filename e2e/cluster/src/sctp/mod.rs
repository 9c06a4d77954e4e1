//! A tiny speaker of SCTP over raw sockets, for kernels that have none: enough to set an association up (RFC 9260 §5.1) and to end it.

mod packet;
mod socket;

pub(crate) use self::{
    packet::{Packet, chunk},
    socket::RawSocket,
};
