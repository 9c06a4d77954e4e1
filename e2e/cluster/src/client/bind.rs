//! Asks for an address and port of one's own, as a server does.

use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::report::{Bound, error_name};

/// Binds, says how it went, and lets go.
pub(super) fn bind(address: SocketAddr, udp: bool) -> Bound {
    let outcome = if udp {
        UdpSocket::bind(address).map(drop)
    } else {
        TcpListener::bind(address).map(drop)
    };
    Bound {
        error: outcome.err().map(|error| error_name(&error)),
    }
}
