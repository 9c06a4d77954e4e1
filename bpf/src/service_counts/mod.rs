//! What Services are asked and answer, counted where the agent wants it: it makes an entry for each frontend, and programs add to it.
//!
//! It is objects of their own that count (feature `counts`), as with [`events`](crate::events).

#[cfg(not(feature = "counts"))]
mod off;
#[cfg(feature = "counts")]
mod on;

#[cfg(not(feature = "counts"))]
pub use off::*;
#[cfg(feature = "counts")]
pub use on::*;

/// How much there is of a packet, and of those that it was before they were merged.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "counts"), expect(dead_code, reason = "nobody asks for it"))]
pub struct Size {
    /// Packets.
    pub packets: u32,
    /// Bytes, from the network header on.
    pub bytes: u32,
}
