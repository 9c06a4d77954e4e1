//! The older iptables (`x_tables`): a table is one block of memory, which is read and replaced as a whole.
//!
//! * [`blob`]: what is in the block. Pure.
//! * [`entry`] and [`extension`]: what one rule says. Pure.
//! * [`sockets`]: reading and replacing it.

mod blob;
mod entry;
pub(super) mod extension;
mod sockets;

pub use sockets::{Family, Lock, Table};
