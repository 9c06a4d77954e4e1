//! Who has slots in a table.

use std::net::IpAddr;

use kpr_abi::{BackendValue, Family};
use siphasher::sip::SipHasher24;

/// A backend as a table knows it: the same on every node, whatever id it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// What the order of its slots follows from.
    pub(super) hash: u64,
    /// How many slots it gets, against others.
    pub(super) weight: u32,
}

impl Member {
    /// The backend of this address, port and protocol. All weigh the same.
    pub fn new<F: Family>(backend: &BackendValue<F::Addr>) -> Self {
        let ip: F::Ip = backend.addr.into();
        let mut name = Vec::with_capacity(19);
        match ip.into() {
            IpAddr::V4(ip) => name.extend(ip.octets()),
            IpAddr::V6(ip) => name.extend(ip.octets()),
        }
        name.extend(backend.port.host().to_be_bytes());
        name.push(backend.proto);
        Self {
            // The key is no secret: it has to be the same everywhere.
            hash: SipHasher24::new_with_keys(0, 0).hash(&name),
            weight: 1,
        }
    }

    /// The same with another weight. One of weight 0 gets no slot.
    pub fn weighing(self, weight: u32) -> Self {
        Self { weight, ..self }
    }
}
