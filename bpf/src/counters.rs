//! One counter per reason and CPU.

use crate::{events, maps::COUNTERS};
use kpr_abi::Reason;

/// Counts one more of `reason` on this CPU.
#[inline(always)]
pub fn count(reason: Reason) {
    if let Some(counter) = COUNTERS.get_ptr_mut(reason as u32) {
        // SAFETY: this CPU's own slot; a program that interrupts this one on the same CPU may cost one count, never memory.
        unsafe { *counter += 1 }
    }
}

/// The same of a packet: whoever listens is told.
#[inline(always)]
pub fn count_packet(reason: Reason) {
    count(reason);
    events::packet(reason);
}
