//! The question that one of very many flows asks: a token of its own, which comes back with the peer that the pod sees.

use std::net::SocketAddr;

/// What a datagram with a token begins with.
pub(crate) const PREFIX: &str = "flow ";

/// The token that a datagram asks with, if it is such a question.
pub(super) fn token(datagram: &[u8]) -> Option<&str> {
    std::str::from_utf8(datagram).ok()?.strip_prefix(PREFIX)
}

/// The answer to it.
pub(super) fn answer(token: &str, client: SocketAddr) -> String {
    format!("{token} {client}")
}

/// Token and peer of an answer.
pub(crate) fn read(answer: &str) -> Option<(&str, SocketAddr)> {
    let (token, client) = answer.split_once(' ')?;
    Some((token, client.parse().ok()?))
}
