//! Which pod addresses of a node are free.

use std::collections::BTreeSet;

use crate::address::{Addresses, Prefixes};

/// Hands out the addresses of a pod CIDR, the least recently used first, so that an address is not reused while
/// somebody may still hold on to its former owner.
#[derive(Clone, Debug)]
pub(super) struct AddressPool {
    prefixes: Prefixes,
    first: u32,
    next: u32,
    used: BTreeSet<u32>,
}

impl AddressPool {
    /// A pool of the addresses of `prefixes` from the `first` on; the very last (IPv4's broadcast) stays out.
    pub(super) fn new(prefixes: Prefixes, first: u32) -> Self {
        Self {
            prefixes,
            first,
            next: first,
            used: BTreeSet::new(),
        }
    }

    /// Takes an address: its index, by which it is given back, and its value in each family. None if all are taken.
    pub(super) fn take(&mut self) -> Option<(u32, Addresses)> {
        let end = self.prefixes.capacity().saturating_sub(1);
        let index = (self.next..end)
            .chain(self.first..self.next.min(end))
            .find(|index| !self.used.contains(index))?;
        self.used.insert(index);
        self.next = index + 1;
        Some((index, self.prefixes.nth(index)))
    }

    /// Gives an address back.
    pub(super) fn release(&mut self, index: u32) {
        self.used.remove(&index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool() -> AddressPool {
        AddressPool::new(Prefixes::v4("10.244.0.0/29".parse().expect("valid")), 2)
    }

    #[test]
    fn every_address_is_given_once_and_the_broadcast_address_never() {
        let mut pool = pool();
        let all: Vec<String> = std::iter::from_fn(|| pool.take())
            .map(|(_, address)| address.to_string())
            .collect();
        assert_eq!(
            all,
            ["10.244.0.2", "10.244.0.3", "10.244.0.4", "10.244.0.5", "10.244.0.6"]
        );
    }

    #[test]
    fn a_released_address_comes_back_only_when_its_turn_comes() {
        let mut pool = pool();
        let (first, _) = pool.take().expect("free");
        pool.release(first);
        assert_ne!(pool.take().expect("free").0, first);
        for _ in 0..3 {
            pool.take().expect("free");
        }
        assert_eq!(pool.take().expect("the released one").0, first);
        assert_eq!(pool.take(), None);
    }
}
