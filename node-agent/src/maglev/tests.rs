//! What a table promises, for backends and sizes at random.

use std::net::{Ipv4Addr, Ipv6Addr};

use kpr_abi::{Address, BackendValue, Be16, TableSize, V4, V6, proto};
use proptest::prelude::*;

use super::{Member, fill};

fn value<A: Address>(addr: impl Into<A>, port: u16, proto: u8) -> BackendValue<A> {
    BackendValue {
        addr: addr.into(),
        port: Be16::new(port),
        proto,
        flags: 0,
    }
}

fn member(n: u32) -> Member {
    let addr = Ipv4Addr::from_bits(0x0af4_0000 + n);
    Member::new::<V4>(&value(addr, 8080, proto::TCP))
}

fn members(numbers: impl IntoIterator<Item = u32>) -> Vec<Member> {
    numbers.into_iter().map(member).collect()
}

/// For each slot who has it, by what does not depend on an order.
fn owners(size: TableSize, members: &[Member]) -> Vec<u64> {
    let table = fill(size, members);
    assert_eq!(table.len(), size.slots() as usize);
    table.iter().map(|&i| members[i as usize].hash).collect()
}

/// Slots of each member.
fn shares(size: TableSize, members: &[Member]) -> Vec<u32> {
    let mut shares = vec![0; members.len()];
    for i in fill(size, members) {
        shares[i as usize] += 1;
    }
    shares
}

/// Slots that go from one member to another, when neither comes or goes.
fn moved(before: &[u64], after: &[u64], but: Member) -> usize {
    let moved = |(before, after): &(&u64, &u64)| before != after && **before != but.hash && **after != but.hash;
    before.iter().zip(after).filter(moved).count()
}

fn size() -> impl Strategy<Value = TableSize> {
    prop::sample::select(&TableSize::ALL[..7])
}

/// The default size, or the next one, and so many members that each has 100 slots at least.
fn sensible() -> impl Strategy<Value = (TableSize, u32)> {
    prop::sample::select(&TableSize::ALL[6..8]).prop_flat_map(|size| (Just(size), 2..=size.slots() / 100))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_slot_is_filled_and_shares_differ_by_one_slot_at_most(size in size(), count in 1_u32..400, first: u16) {
        let first = u32::from(first);
        let shares = shares(size, &members(first..first + count));
        prop_assert_eq!(shares.iter().sum::<u32>(), size.slots());
        let (least, most) = (shares.iter().min(), shares.iter().max());
        prop_assert!(most.zip(least).is_some_and(|(most, least)| most - least <= 1), "{:?}", shares);
    }

    #[test]
    fn the_order_in_which_backends_are_named_does_not_matter(
        size in size(),
        (named, shuffled) in prop::collection::btree_set(0_u32..5000, 1..60)
            .prop_map(Vec::from_iter)
            .prop_flat_map(|named| (Just(named.clone()), Just(named).prop_shuffle())),
    ) {
        prop_assert_eq!(owners(size, &members(named)), owners(size, &members(shuffled)));
    }

    #[test]
    fn one_that_goes_or_comes_moves_two_slots_in_a_hundred_at_most_beside_its_own(
        (size, count) in sensible(), first: u16, gone: prop::sample::Index,
    ) {
        let first = u32::from(first);
        let gone = first + u32::try_from(gone.index(count as usize))?;
        let all = owners(size, &members(first..first + count));
        let left = owners(size, &members((first..first + count).filter(|&n| n != gone)));
        // One that comes is one that goes, backwards.
        let moved = moved(&all, &left, member(gone));
        prop_assert!(moved * 100 <= 2 * all.len(), "{} of {} moved with {} backends", moved, all.len(), count);
    }

    #[test]
    fn weights_are_kept_within_a_slot_for_each_backend(
        size in size(),
        weights in prop::collection::vec(0_u32..10, 1..20),
    ) {
        let weighed: Vec<_> = (0..).zip(&weights).map(|(n, &weight)| member(n).weighing(weight)).collect();
        let total: u32 = weights.iter().sum();
        prop_assume!(total > 0);
        let count = weights.len();
        for (share, weight) in shares(size, &weighed).into_iter().zip(weights) {
            let fair = f64::from(size.slots()) * f64::from(weight) / f64::from(total);
            // What each has saved for its next turn when the table is full is less than a slot, and is shared by all.
            prop_assert!((f64::from(share) - fair).abs() <= f64::from(u32::try_from(count)?), "{} instead of {}", share, fair);
        }
    }
}

#[test]
fn twice_the_weight_is_twice_the_share() {
    let size = TableSize::of(16_381).expect("a size");
    let weighed = [member(1), member(2).weighing(2), member(3)];
    let shares = shares(size, &weighed);
    assert_eq!(shares.iter().sum::<u32>(), 16_381);
    assert!((8189..=8192).contains(&shares[1]), "{shares:?}");
}

/// There are too few slots to move in small steps.
#[test]
fn smaller_tables_move_more() {
    for (size, percent) in [(251, 10), (1021, 6), (4093, 3)] {
        let size = TableSize::of(size).expect("a size");
        let count = size.slots() / 100;
        let all = owners(size, &members(0..count));
        for gone in 0..count {
            let left = owners(size, &members((0..count).filter(|&n| n != gone)));
            let moved = moved(&all, &left, member(gone));
            assert!(moved * 100 <= percent * all.len(), "{moved} of {} moved", all.len());
        }
    }
}

#[test]
fn nobody_gets_slots_of_an_empty_table() {
    assert!(fill(TableSize::ALL[0], &[]).is_empty());
    assert!(fill(TableSize::ALL[0], &[member(1).weighing(0)]).is_empty());
}

#[test]
fn address_port_and_protocol_make_a_member_and_nothing_else_does() {
    let pod = Ipv4Addr::new(10, 244, 0, 3);
    let one = Member::new::<V4>(&value(pod, 80, proto::TCP));
    for other in [
        value(Ipv4Addr::new(10, 244, 0, 4), 80, proto::TCP),
        value(pod, 81, proto::TCP),
        value(pod, 80, proto::UDP),
    ] {
        assert_ne!(Member::new::<V4>(&other).hash, one.hash);
    }
    let flagged = BackendValue {
        flags: kpr_abi::backend::flags::LOCAL,
        ..value(pod, 80, proto::TCP)
    };
    assert_eq!(Member::new::<V4>(&flagged), one, "the same on its node as on others");
}

/// Nodes whose agents are one version apart must agree.
#[test]
fn tables_never_change_from_version_to_version() {
    let start = |table: &[u32]| table[..16].to_vec();
    let size = TableSize::ALL[0];
    let v4 = members(0..4);
    assert_eq!(
        start(&fill(size, &v4)),
        [2, 2, 1, 0, 2, 3, 2, 2, 0, 2, 2, 1, 3, 1, 1, 1]
    );
    let v6: Vec<_> = (0..4)
        .map(|n| value(Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, n), 8080, proto::TCP))
        .map(|backend| Member::new::<V6>(&backend))
        .collect();
    assert_eq!(
        start(&fill(size, &v6)),
        [1, 1, 2, 3, 2, 0, 1, 2, 3, 0, 2, 0, 0, 3, 2, 0]
    );
}
