//! Frontends: what a client asks for, and which backends may answer.

use crate::{
    addr::{Addr4, Addr6, Address, Be16},
    layout::layout,
};

/// Key of a frontend. `addr` [`Address::ANY`](crate::Address::ANY) means "any address of this node" (NodePort, HostPort).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct ServiceKey<A> {
    /// Destination address of the client's packet or connect.
    pub addr: A,
    /// Destination port.
    pub port: Be16,
    /// IP protocol number.
    pub proto: u8,
    /// Always 0; the eBPF side compares all bytes of a key.
    pub zero: u8,
}

impl<A> ServiceKey<A> {
    /// A key of the given destination.
    #[inline(always)]
    pub const fn new(addr: A, port: Be16, proto: u8) -> Self {
        Self {
            addr,
            port,
            proto,
            zero: 0,
        }
    }
}

/// A run of consecutive entries in a family's slot table; each slot holds a backend id. Ids ascend, so that a look-up can tell
/// whether a backend is in the slice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct Slice {
    /// Index of the first slot.
    pub base: u32,
    /// Number of slots; 0 means that no backend may be chosen from this list.
    pub len: u32,
}

/// Value of a frontend. One write of this value publishes a change: slots and backends that it names are written before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct ServiceValue {
    /// Stable id of the frontend (never 0); keeps its value across agent restarts.
    pub id: u32,
    /// [`flags`], or-ed.
    pub flags: u32,
    /// All usable endpoints of the cluster (traffic policy `Cluster`).
    pub cluster: Slice,
    /// Usable endpoints on this node (traffic policy `Local`).
    pub local: Slice,
    /// Idle time after which session affinity ends, in seconds; 0 without affinity.
    pub affinity_seconds: u32,
    /// Frontends of one service port share their affinity: the same number in each. Never 0.
    pub affinity_group: u32,
}

/// A frontend's value as its map holds it: with a check of key and value.
///
/// The memory of a hash map's entry may get another entry's key and value while a program still reads it: kernels from 6.1 on do not wait
/// for readers (`bpf_mem_alloc`). What was read counts only if the check says that it is whole, and belongs to the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C)]
pub struct StoredService {
    value: ServiceValue,
    check: u32,
}

impl StoredService {
    /// As it is written under `key`.
    #[inline(always)]
    pub fn new<A: Address>(key: &ServiceKey<A>, value: ServiceValue) -> Self {
        let check = check(key, &value);
        Self { value, check }
    }

    /// The value that was written under `key`; none if this is another entry's, or a mixture of two.
    #[inline(always)]
    pub fn value<A: Address>(&self, key: &ServiceKey<A>) -> Option<&ServiceValue> {
        if self.check == check(key, &self.value) {
            Some(&self.value)
        } else {
            None
        }
    }
}

/// A word that another key or another value would hardly give: one in 2^32.
#[inline(always)]
fn check<A: Address>(key: &ServiceKey<A>, value: &ServiceValue) -> u32 {
    let ServiceKey {
        addr,
        port,
        proto,
        zero: _,
    } = *key;
    let ServiceValue {
        id,
        flags,
        cluster,
        local,
        affinity_seconds,
        affinity_group,
    } = *value;
    let words = [
        addr.fold(),
        u32::from(port.0) << 8 | u32::from(proto),
        id,
        flags,
        cluster.base,
        cluster.len,
        local.base,
        local.len,
        affinity_seconds,
        affinity_group,
    ];
    // Not 0 at the start: memory that was cleared is no entry.
    let mut check = 1_u32;
    let mut i = 0;
    while i < words.len() {
        check = (check.rotate_left(5) ^ words[i]).wrapping_mul(0x9e37_79b9);
        i += 1;
    }
    check
}

/// Flags of a [`ServiceValue`].
pub mod flags {
    /// The frontend is a ClusterIP.
    pub const CLUSTER_IP: u32 = 1;
    /// The frontend is a NodePort.
    pub const NODE_PORT: u32 = 1 << 1;
    /// The frontend is an IP of `status.loadBalancer.ingress`.
    pub const LOAD_BALANCER: u32 = 1 << 2;
    /// The frontend is one of `spec.externalIPs`.
    pub const EXTERNAL_IP: u32 = 1 << 3;
    /// The frontend is a `hostPort` of a pod on this node.
    pub const HOST_PORT: u32 = 1 << 4;
    /// The bits that say which kind of frontend this is.
    pub const KIND: u32 = CLUSTER_IP | NODE_PORT | LOAD_BALANCER | EXTERNAL_IP | HOST_PORT;
    /// Traffic from outside uses only the `local` slice (`externalTrafficPolicy: Local`, on external frontends).
    pub const EXTERNAL_LOCAL: u32 = 1 << 8;
    /// Traffic from pods and from the node uses only the `local` slice (`internalTrafficPolicy: Local`, on ClusterIPs).
    pub const INTERNAL_LOCAL: u32 = 1 << 9;
    /// Some endpoint is usable somewhere: without a local one, traffic policy `Local` drops instead of refusing.
    pub const HAS_ENDPOINTS: u32 = 1 << 10;
    /// New flows stick to the backend of the client's last flow.
    pub const AFFINITY: u32 = 1 << 11;
    /// Clients must be inside the frontend's source ranges.
    pub const SOURCE_RANGES: u32 = 1 << 13;
    /// The bits that name the size of the Maglev tables behind the slices: see [`maglev`](crate::maglev). 0: there are none.
    pub const MAGLEV: u32 = 0xf << 16;
}

layout!(ServiceKey<Addr4>, size 8, align 4, fields [Addr4, Be16, u8, u8]);
layout!(ServiceKey<Addr6>, size 20, align 4, fields [Addr6, Be16, u8, u8]);
layout!(Slice, size 8, align 4, fields [u32, u32]);
layout!(StoredService, size 36, align 4, fields [ServiceValue, u32]);
layout!(ServiceValue, size 32, align 4, fields [u32, u32, Slice, Slice, u32, u32]);

#[cfg(test)]
mod tests {
    use super::*;

    fn key(addr: u32, port: u16) -> ServiceKey<Addr4> {
        ServiceKey::new(Addr4(addr), Be16::new(port), 6)
    }

    fn value(id: u32) -> ServiceValue {
        let slice = |base| Slice { base, len: id };
        ServiceValue {
            id,
            flags: flags::NODE_PORT,
            cluster: slice(id * 8),
            local: slice(id * 8 + 4),
            affinity_seconds: 0,
            affinity_group: id,
        }
    }

    /// As words in memory.
    fn words(stored: StoredService) -> [u32; 9] {
        let StoredService { value: v, check } = stored;
        let (cluster, local) = (v.cluster, v.local);
        [
            v.id,
            v.flags,
            cluster.base,
            cluster.len,
            local.base,
            local.len,
            v.affinity_seconds,
            v.affinity_group,
            check,
        ]
    }

    fn stored([id, flags, cb, cl, lb, ll, affinity_seconds, affinity_group, check]: [u32; 9]) -> StoredService {
        let slice = |base, len| Slice { base, len };
        StoredService {
            value: ServiceValue {
                id,
                flags,
                cluster: slice(cb, cl),
                local: slice(lb, ll),
                affinity_seconds,
                affinity_group,
            },
            check,
        }
    }

    #[test]
    fn what_was_written_under_a_key_is_read_under_that_key_only() {
        let written = StoredService::new(&key(1, 80), value(7));
        assert_eq!(written.value(&key(1, 80)), Some(&value(7)));
        for other in [
            key(2, 80),
            key(1, 81),
            key(0, 80),
            ServiceKey {
                proto: 17,
                ..key(1, 80)
            },
        ] {
            assert_eq!(written.value(&other), None, "{other:?}");
        }
    }

    #[test]
    fn no_mixture_of_two_entries_passes_for_either() {
        let (a, b) = (key(1, 80), key(2, 443));
        let (old, new) = (
            words(StoredService::new(&a, value(7))),
            words(StoredService::new(&b, value(9))),
        );
        // A copy that is under way has written the first words, or the last.
        for at in 1..9 {
            for (first, last) in [(old, new), (new, old)] {
                let mut mixed = last;
                mixed[..at].copy_from_slice(&first[..at]);
                if mixed == old || mixed == new {
                    continue;
                }
                for key in [&a, &b] {
                    assert_eq!(stored(mixed).value(key), None, "{at} words: {mixed:?}");
                }
            }
        }
    }

    #[test]
    fn cleared_memory_is_no_entry() {
        assert_eq!(stored([0; 9]).value(&key(0, 0)), None);
    }

    #[test]
    fn every_part_of_an_ipv6_address_counts() {
        let written = StoredService::new(&ServiceKey::new(Addr6([1, 2, 3, 4]), Be16::new(80), 6), value(7));
        for addr in [[0, 2, 3, 4], [1, 0, 3, 4], [1, 2, 0, 4], [1, 2, 3, 0], [2, 1, 3, 4]] {
            let key = ServiceKey::new(Addr6(addr), Be16::new(80), 6);
            assert_eq!(written.value(&key), None, "{addr:?}");
        }
    }
}
