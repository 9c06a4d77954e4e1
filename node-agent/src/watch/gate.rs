//! Knows when Services and EndpointSlices have both been read in full.

use std::sync::{Arc, Mutex, PoisonError};

/// The kinds that must be complete before anything may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Services.
    Services,
    /// EndpointSlices.
    Slices,
}

/// Shared by the watches of both kinds.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    read: Arc<Mutex<Read>>,
}

#[derive(Debug, Default)]
struct Read {
    services: bool,
    slices: bool,
}

impl Gate {
    /// A kind has been read in full, and sent. Returns whether this opens the gate: true once, for the second kind.
    pub(super) fn complete(&self, kind: Kind) -> bool {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = read.services && read.slices;
        match kind {
            Kind::Services => read.services = true,
            Kind::Slices => read.slices = true,
        }
        !was_open && read.services && read.slices
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind::*, *};

    #[test]
    fn the_gate_opens_once_when_both_kinds_are_complete() {
        for (first, second) in [(Services, Slices), (Slices, Services)] {
            let gate = Gate::default();
            let opened: Vec<_> = [first, first, second, first, second]
                .into_iter()
                .map(|kind| gate.complete(kind))
                .collect();
            assert_eq!(opened, [false, false, true, false, false]);
        }
    }
}
