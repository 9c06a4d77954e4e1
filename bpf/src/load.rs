//! How many connections each backend has from this node, where backends are chosen by that.
//!
//! Counts go up when a connection is led to a backend, and down when packets or a closed socket end it. Flows that end without a packet,
//! by time or because the table has evicted them, are for the agent: whenever it has looked through the tables, it sets right what
//! differs.

use crate::{balance, config, maps::Tables};
use core::{arch::asm, ptr::read_volatile};
use kpr_abi::{Be16, config::features};

/// Whether there are counts.
#[inline(always)]
pub fn counts() -> bool {
    config::has(features::LEAST_CONNECTIONS)
}

/// The backend of these two that has fewer connections; the first if they have as many.
#[inline(always)]
pub fn lighter<F: Tables>(first: u32, second: u32) -> u32 {
    if of::<F>(second) < of::<F>(first) {
        second
    } else {
        first
    }
}

#[inline(always)]
fn of<F: Tables>(id: u32) -> u64 {
    // SAFETY: a map value that was just looked up; a single word, which others change.
    F::loads().get_ptr(id).map_or(0, |load| unsafe { read_volatile(load) })
}

/// A connection was led to the backend. Nothing happens if there are no counts.
#[inline(always)]
pub fn began<F: Tables>(id: u32) {
    if counts() {
        add::<F>(id, 1);
    }
}

/// A connection to the backend has ended. Nothing happens if the id is another backend's now.
#[inline(always)]
pub fn ended<F: Tables>(id: u32, addr: F::Addr, port: Be16, proto: u8) {
    if !balance::still_is::<F>(id, addr, port, proto) {
        return;
    }
    // A count that was lost is no reason to have more than there can be.
    if of::<F>(id) != 0 {
        add::<F>(id, -1);
    }
}

/// Id 0 is no backend's: of a flow that is refused.
#[inline(always)]
fn add<F: Tables>(id: u32, difference: i64) {
    if let Some(load) = F::loads().get_ptr_mut(id).filter(|_| id != 0) {
        // What every kernel's eBPF has of atomic operations. `core` has none for this target, which cannot have all of them.
        // SAFETY: an aligned word of an array, which others only change in the same way.
        unsafe {
            asm!("lock *(u64 *)({load} + 0) += {difference}", load = in(reg) load, difference = in(reg) difference);
        }
    }
}
