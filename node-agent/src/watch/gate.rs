//! Knows when Services, EndpointSlices and this node's Pods have all been read in full.

use std::sync::{Arc, Mutex, PoisonError};

/// The kinds that must be complete before anything may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Services.
    Services,
    /// EndpointSlices.
    Slices,
    /// Pods of this node.
    Pods,
}

/// Shared by the watches of all kinds.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate {
    read: Arc<Mutex<Read>>,
}

#[derive(Debug, Default)]
struct Read {
    services: bool,
    slices: bool,
    pods: bool,
}

impl Read {
    fn is_whole(&self) -> bool {
        self.services && self.slices && self.pods
    }
}

impl Gate {
    /// A kind has been read in full, and sent. Returns whether this opens the gate: true once, for the last kind.
    pub(super) fn complete(&self, kind: Kind) -> bool {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let was_open = read.is_whole();
        match kind {
            Kind::Services => read.services = true,
            Kind::Slices => read.slices = true,
            Kind::Pods => read.pods = true,
        }
        !was_open && read.is_whole()
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind::*, *};

    #[test]
    fn the_gate_opens_once_when_all_kinds_are_complete() {
        for (first, second, third) in [
            (Services, Slices, Pods),
            (Pods, Services, Slices),
            (Slices, Pods, Services),
        ] {
            let gate = Gate::default();
            let opened: Vec<_> = [first, first, second, third, first, third]
                .into_iter()
                .map(|kind| gate.complete(kind))
                .collect();
            assert_eq!(opened, [false, false, false, true, false, false]);
        }
    }
}
