//! Cluster IPs and node ports: what is free is read from the Services that exist, so nothing can leak.

pub(crate) mod ip;
pub(crate) mod port;

use ip::Family;

/// Where the next dynamic allocation starts to look: a freed value is reused as late as possible.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    pub(crate) ip4: u32,
    pub(crate) ip6: u32,
    pub(crate) port: u16,
}

impl Cursors {
    /// The cursor of a family's cluster IPs.
    pub(crate) fn ip(&mut self, family: Family) -> &mut u32 {
        match family {
            Family::V4 => &mut self.ip4,
            Family::V6 => &mut self.ip6,
        }
    }
}
