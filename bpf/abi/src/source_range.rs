//! Source ranges: who may connect to a LoadBalancer frontend.

use crate::{
    addr::{Addr4, Addr6},
    layout::layout,
};

/// What of the key of a longest-prefix-match trie is behind the prefix length: the frontend's id, which counts in full, then a
/// prefix of the client's address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct SourceRange<A> {
    /// [`ServiceValue::id`](crate::ServiceValue::id).
    pub service: u32,
    /// The client's address, or the range's first one.
    pub addr: A,
}

/// Bits of the id.
pub const ID_BITS: u32 = 32;

layout!(SourceRange<Addr4>, size 8, align 4, fields [u32, Addr4]);
layout!(SourceRange<Addr6>, size 20, align 4, fields [u32, Addr6]);
