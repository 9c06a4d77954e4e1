//! What kpr's eBPF programs and its agent agree on: map keys, map values, names and constants.
//!
//! Rules of this crate: every shared type is `#[repr(C)]`, made of integers only (no enum, `bool` or `Option`), has no
//! padding, and says its byte order in its types: [`Be16`], [`Addr4`] and [`Addr6`] hold network byte order, plain
//! integers hold the machine's. [`layout!`] proves size, alignment and the absence of padding at compile time.
//!
//! A change that old programs could not read needs a new [`ABI_VERSION`]: it is part of the path that maps are pinned under.
#![no_std]
#![expect(
    clippy::inline_always,
    reason = "eBPF programs call these per packet, and a call costs more than the body"
)]

mod jhash;
mod layout;

pub mod addr;
pub mod affinity;
pub mod backend;
pub mod config;
pub mod event;
pub mod explain;
pub mod filter;
pub mod flow;
pub mod local;
pub mod maglev;
pub mod maps;
pub mod reason;
pub mod service;
pub mod service_count;
pub mod socket;
pub mod source_range;
pub mod way;
pub mod xdp;

#[cfg(feature = "user")]
mod pod;

pub use addr::{Addr4, Addr6, Address, Be16, Family, V4, V6};
pub use affinity::{AffinityKey, AffinityValue};
pub use backend::BackendValue;
pub use event::Event;
pub use explain::MadeUpCall;
pub use flow::{FlowKey, FlowValue, FragmentKey, FragmentValue};
pub use maglev::TableSize;
pub use reason::Reason;
pub use service::{ServiceKey, ServiceValue, Slice, StoredService};
pub use service_count::ServiceCount;
pub use socket::{Cookie, PeerKey, PeerValue};
pub use source_range::SourceRange;
pub use way::Way;

/// Version of the layout of all pinned maps; part of the directory they are pinned in.
pub const ABI_VERSION: u32 = 1;

/// IP protocol numbers (IANA) of the transports that Services have.
pub mod proto {
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// Stream Control Transmission Protocol.
    pub const SCTP: u8 = 132;
}
