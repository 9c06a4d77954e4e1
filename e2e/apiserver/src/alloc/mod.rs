//! Cluster IPs and node ports: what is free is read from the Services that exist, so nothing can leak.

pub(crate) mod ip;
pub(crate) mod port;

/// Where the next dynamic allocation starts to look: a freed value is reused as late as possible.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    pub(crate) ip: u32,
    pub(crate) port: u16,
}
