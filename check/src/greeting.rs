//! What a server says.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// The bytes of a UDP request. The server sends no answer that is longer, so that nobody can use it to multiply traffic.
pub(crate) const REQUEST_BYTES: usize = 512;

/// A server's answer to each connection and each datagram: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// Its name: that of its pod.
    pub server: String,
    /// From where the request came, as the server sees it.
    pub client: SocketAddr,
}

impl Greeting {
    pub(crate) fn to_line(&self) -> Vec<u8> {
        // A text and an address always become JSON.
        let mut line = serde_json::to_vec(self).unwrap_or_default();
        line.push(b'\n');
        line
    }

    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}
