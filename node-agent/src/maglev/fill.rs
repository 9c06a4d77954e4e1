//! Fills a table.

use kpr_abi::TableSize;

use super::Member;

/// No member has the slot yet.
const EMPTY: u32 = u32::MAX;

/// For each slot the member that it leads to, as an index into `members`. Empty if no member has any weight.
///
/// Each member has an order of preference of all slots, which follows from its hash. Members take turns, and in its turn a member takes the
/// first slot of its order that is free. So shares of equal weights differ by one slot at most. The order of `members` does not matter.
///
/// In the paper an order is an offset and a step. Two members whose steps are simple multiples of each other modulo the table's length
/// then meet again and again, and whenever one of such a pair goes, far more slots move than have to: up to 7 % of 16,381, and up to 39 % of
/// 251 among some thousand choices. Orders without a pattern have no such pairs (0.8 % and 9 %), the same mean, and take as many tries.
pub fn fill(size: TableSize, members: &[Member]) -> Vec<u32> {
    let mut turns: Vec<Turn> = (0..).zip(members).filter_map(|(i, m)| Turn::new(i, m, size)).collect();
    turns.sort_unstable_by_key(|turn| turn.hash);
    let Some(heaviest) = turns.iter().map(|turn| turn.weight).max() else {
        return Vec::new();
    };
    let mut table = vec![EMPTY; size.slots() as usize];
    let mut left = table.len();
    loop {
        for turn in &mut turns {
            // The heaviest have a turn in each round, others when they have saved up for one.
            turn.saved += turn.weight;
            if turn.saved < heaviest {
                continue;
            }
            turn.saved -= heaviest;
            turn.take(&mut table);
            left -= 1;
            if left == 0 {
                return table;
            }
        }
    }
}

/// A member while a table is filled.
struct Turn {
    member: u32,
    hash: u64,
    weight: u64,
    saved: u64,
    order: Order,
}

/// An order of preference: numbers of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014), scaled
/// to slots. A slot may come more than once, and each comes some time, since the generator gives every number once.
struct Order {
    state: u64,
    slots: u64,
}

impl Order {
    fn next(&mut self) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut number = self.state;
        number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^= number >> 31;
        (((number >> 32) * self.slots) >> 32) as usize
    }
}

impl Turn {
    fn new(member: u32, &Member { hash, weight }: &Member, size: TableSize) -> Option<Self> {
        let slots = u64::from(size.slots());
        (weight > 0).then_some(Self {
            member,
            hash,
            weight: weight.into(),
            saved: 0,
            order: Order { state: hash, slots },
        })
    }

    /// Takes the first slot in the order of preference that is free: there is one.
    fn take(&mut self, table: &mut [u32]) {
        loop {
            let slot = self.order.next();
            if table[slot] == EMPTY {
                table[slot] = self.member;
                return;
            }
        }
    }
}
