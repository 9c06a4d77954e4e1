//! Maglev tables: where they stand, how long they are, and which slot a flow has in one.
//!
//! A list of more than one backend, of a service whose flags name a [`TableSize`], has its table right behind it in the slot table: a
//! program that does not know of tables still finds the list. A list of one needs no table.

use crate::{
    Address, Be16, Slice,
    jhash::{finish, mix},
    service::flags,
};

/// How many slots a table has: a prime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableSize(u32);

impl TableSize {
    /// Every size, ascending.
    pub const ALL: [Self; 10] = [
        Self(1),
        Self(2),
        Self(3),
        Self(4),
        Self(5),
        Self(6),
        Self(7),
        Self(8),
        Self(9),
        Self(10),
    ];

    /// The size of so many slots, if there is one.
    pub fn of(slots: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|size| size.slots() == slots)
    }

    /// The size that the flags of a [`ServiceValue`](crate::ServiceValue) name, if they name one.
    pub const fn named_by(flags: u32) -> Option<Self> {
        let number = number(flags);
        if number == 0 || number as usize > Self::ALL.len() {
            None
        } else {
            Some(Self(number))
        }
    }

    /// How many slots.
    pub const fn slots(self) -> u32 {
        slots(self.0)
    }

    /// As it is named in the flags of a [`ServiceValue`](crate::ServiceValue).
    pub const fn flags(self) -> u32 {
        self.0 << flags::MAGLEV.trailing_zeros()
    }
}

#[inline(always)]
const fn number(flags: u32) -> u32 {
    (flags & flags::MAGLEV) >> flags::MAGLEV.trailing_zeros()
}

/// The largest prime below a power of two: 2^8 for number 1, 2^17 for number 10.
#[inline(always)]
const fn slots(number: u32) -> u32 {
    /// What is missing to the power of two, five bits each, from number 1 on.
    const MISSING: u64 = {
        let missing = [5, 3, 3, 9, 3, 1, 3, 19, 15, 1];
        let (mut all, mut i) = (0, 0);
        while i < missing.len() {
            all |= missing[i] << (5 * i);
            i += 1;
        }
        all
    };
    #[expect(clippy::cast_possible_truncation, reason = "five bits")]
    let missing = (MISSING >> (5 * (number - 1))) as u32 & 31;
    (1 << (number + 7)) - missing
}

/// The table behind a list of a service with these flags; of length 0 if it has none.
#[inline(always)]
pub const fn table(flags: u32, list: Slice) -> Slice {
    let number = number(flags);
    Slice {
        base: list.base.wrapping_add(list.len),
        // The second comparison is for the compiler and the verifier: no shift is out of range.
        len: if number == 0 || number > 10 || list.len < 2 {
            0
        } else {
            slots(number)
        },
    }
}

/// All slots that a list of a service with these flags takes: its own and its table's.
pub const fn extent(flags: u32, list: Slice) -> u32 {
    list.len.saturating_add(table(flags, list).len)
}

/// What a flow's slot is found by, modulo the table's length: the same on every node and in every family's byte order.
///
/// The frontend's address is not part of it: an ECMP router may send a flow to another node at any moment, and then it comes to a
/// NodePort of another address.
#[inline(always)]
pub fn hash<A: Address>(client: A, client_port: Be16, frontend_port: Be16, proto: u8) -> u32 {
    /// `JHASH_INITVAL`.
    const SEED: u32 = 0xdead_beef;
    let [a, b, c] = client.mix([SEED; 3], mix);
    let ports = u32::from(client_port.host()) << 16 | u32::from(frontend_port.host());
    finish([a, b.wrapping_add(ports), c.wrapping_add(u32::from(proto))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Addr4, Addr6};
    use core::net::{Ipv4Addr, Ipv6Addr};

    #[test]
    fn sizes_are_primes_that_flags_can_name() {
        let primes = [251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521, 131_071];
        assert_eq!(TableSize::ALL.map(TableSize::slots), primes);
        for size in TableSize::ALL {
            let slots = size.slots();
            assert!((2..=slots.isqrt()).all(|n| slots % n != 0), "{slots}");
            assert_eq!(TableSize::named_by(size.flags() | flags::KIND), Some(size));
            assert_eq!(TableSize::of(slots), Some(size));
        }
        assert_eq!(TableSize::of(1000), None);
        assert_eq!(TableSize::named_by(!flags::MAGLEV), None);
        assert_eq!(TableSize::named_by(flags::MAGLEV), None);
    }

    #[test]
    fn a_table_stands_behind_its_list_unless_one_backend_is_all() {
        let flags = TableSize::ALL[0].flags();
        let list = |len| Slice { base: 7, len };
        assert_eq!(table(flags, list(3)), Slice { base: 10, len: 251 });
        assert_eq!(extent(flags, list(3)), 254);
        for (flags, len) in [(flags, 1), (flags, 0), (0, 3), (flags::MAGLEV, 3)] {
            assert_eq!(table(flags, list(len)).len, 0);
            assert_eq!(extent(flags, list(len)), len);
        }
    }

    #[test]
    fn each_part_of_a_flow_counts() {
        let v4 = |last, client_port, port, proto| {
            let addr = Addr4::from(Ipv4Addr::new(192, 0, 2, last));
            hash(addr, Be16::new(client_port), Be16::new(port), proto)
        };
        let one = v4(1, 40_000, 30_080, 6);
        for other in [
            v4(2, 40_000, 30_080, 6),
            v4(1, 40_001, 30_080, 6),
            v4(1, 40_000, 30_081, 6),
            v4(1, 40_000, 30_080, 17),
        ] {
            assert_ne!(other, one);
        }
        let v6 = |n: usize| {
            let mut groups = [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1];
            groups[n] ^= 1;
            hash(Addr6::from(Ipv6Addr::from(groups)), Be16::new(40_000), Be16::new(80), 6)
        };
        for (n, m) in (0..8).flat_map(|n| (0..n).map(move |m| (n, m))) {
            assert_ne!(v6(n), v6(m));
        }
    }

    /// Pinned: nodes whose agents are one version apart must agree.
    #[test]
    fn the_hash_of_a_flow_never_changes() {
        let v4 = Addr4::from(Ipv4Addr::new(192, 0, 2, 1));
        let v6 = Addr6::from(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
        assert_eq!(hash(v4, Be16::new(40_000), Be16::new(30_080), 6), 0x8a54_de6c);
        assert_eq!(hash(v6, Be16::new(40_000), Be16::new(30_080), 6), 0x9ace_e5af);
    }

    #[test]
    fn neighbouring_flows_are_spread_over_the_slots() {
        const SLOTS: usize = 251;
        let mut found = [0_u32; SLOTS];
        for last in 0..16 {
            for port in 0..1000 {
                let client = Addr4::from(Ipv4Addr::new(192, 0, 2, last));
                found[hash(client, Be16::new(40_000 + port), Be16::new(30_080), 6) as usize % SLOTS] += 1;
            }
        }
        // 16,000 balls in 251 bins: the statistic has 250 degrees of freedom, and 345 is five sigma.
        let expected = 16_000.0 / 251.0;
        let chi: f64 = found
            .iter()
            .map(|&n| (f64::from(n) - expected).powi(2) / expected)
            .sum();
        assert!(chi < 345.0, "{chi}");
    }
}
