//! Who may connect, and the writes that a change of it leads to.

use std::net::Ipv4Addr;

use kpr_abi::V4;

use super::{
    fixtures::{ROOMY, Variations, carry_out, deleted, grace, service, words},
    simulator::Maps,
};
use crate::{
    model::DesiredService,
    plan::{AdmittedRange, Planner, Scope},
};

fn web(nets: &[u8]) -> DesiredService<V4> {
    let ranges: Vec<_> = nets.iter().map(|&net| (Ipv4Addr::new(10, net, 0, 0), 16)).collect();
    service(1, &[]).from(&ranges)
}

const PUBLISHED: &str = "service 1 cluster 0+0 local 0+0";

/// A planner whose maps serve these clients.
fn serving(nets: &[u8]) -> Planner<V4> {
    let mut planner = Planner::new(ROOMY);
    carry_out(&mut planner, &[web(nets)]);
    planner
}

#[test]
fn ranges_are_there_before_the_service_asks_for_them() {
    let mut planner = Planner::new(ROOMY);
    let admits = ["admit 10.1.0.0/16 to 1", "admit 10.2.0.0/16 to 1"];
    assert_eq!(
        words(&carry_out(&mut planner, &[web(&[1, 2])])),
        [admits[0], admits[1], PUBLISHED]
    );
    let mut planner = serving(&[]);
    assert_eq!(words(&carry_out(&mut planner, &[web(&[1])])), [admits[0], PUBLISHED]);
}

#[test]
fn a_range_that_is_exchanged_goes_after_the_new_one_is_there_and_the_service_is_not_written() {
    let mut planner = serving(&[1]);
    assert_eq!(
        words(&carry_out(&mut planner, &[web(&[2])])),
        ["admit 10.2.0.0/16 to 1", "shut 10.1.0.0/16 out of 1"]
    );
    assert!(planner.plan(Scope::All, &[web(&[2])]).is_empty());
}

#[test]
fn ranges_outlive_a_service_that_asks_for_none_until_its_readers_are_gone() {
    for (gone, write) in [(web(&[]), PUBLISHED), (deleted(1), "delete")] {
        let mut planner = serving(&[1]);
        let wanted = [gone];
        assert_eq!(words(&carry_out(&mut planner, &wanted)), [write]);
        assert!(
            planner.plan(Scope::Changed, &wanted).is_empty(),
            "a program may read them still"
        );
        grace(&mut planner);
        assert_eq!(
            words(&carry_out(&mut planner, &[])),
            ["shut 10.1.0.0/16 out of 1"],
            "without a change of any Service"
        );
        assert_eq!(planner.programmed().usage().source_ranges, 0);
    }
}

#[test]
fn ranges_that_are_asked_for_again_are_not_deleted() {
    let mut planner = serving(&[1, 2]);
    carry_out(&mut planner, &[web(&[])]);
    grace(&mut planner);
    assert_eq!(
        words(&carry_out(&mut planner, &[web(&[2, 3])])),
        ["admit 10.3.0.0/16 to 1", PUBLISHED, "shut 10.1.0.0/16 out of 1"]
    );
}

#[test]
fn ranges_of_a_service_that_could_not_be_published_let_nobody_into_another() {
    let mut planner = Planner::new(ROOMY);
    let plan = planner.plan(Scope::Changed, &[web(&[1])]);
    planner.record(&plan.ops[0]);
    let other = service(2, &[]).from(&[(Ipv4Addr::new(10, 2, 0, 0), 16)]);
    assert_eq!(
        words(&carry_out(&mut planner, &[other])),
        ["admit 10.2.0.0/16 to 2", "service 2 cluster 0+0 local 0+0"]
    );
    grace(&mut planner);
    assert_eq!(words(&carry_out(&mut planner, &[])), ["shut 10.1.0.0/16 out of 1"]);
}

#[test]
fn a_restart_adopts_ranges_and_deletes_those_of_services_that_are_gone() {
    let mut maps = Maps::<V4>::new(ROOMY);
    let mut planner = Planner::new(ROOMY);
    let gone = service(2, &[]).from(&[(Ipv4Addr::new(10, 2, 0, 0), 16)]);
    for desired in [vec![web(&[1]), gone], vec![deleted(2)]] {
        for op in &carry_out(&mut planner, &desired).ops {
            maps.apply(op);
        }
    }
    let ranges = maps.ranges.iter().copied();
    let (mut planner, problems) = Planner::restore(ROOMY, maps.entries(), &maps.slots, maps.table(), ranges);
    assert_eq!(problems, []);
    assert!(planner.programmed().has_source_ranges());
    let third = service(3, &[]).from(&[(Ipv4Addr::new(10, 3, 0, 0), 16)]);
    let plan = planner.plan(Scope::All, &[web(&[1]), third]);
    assert_eq!(
        words(&plan),
        [
            "shut 10.2.0.0/16 out of 2",
            "admit 10.3.0.0/16 to 3",
            "service 3 cluster 0+0 local 0+0"
        ],
        "the id of the deleted service is not given again while its ranges may be there"
    );
}

#[test]
fn a_range_that_was_removed_or_added_by_hand_is_a_difference() {
    type Damage = fn(&mut Maps<V4>);
    let mut maps = Maps::<V4>::new(ROOMY);
    let mut planner = Planner::new(ROOMY);
    for op in &carry_out(&mut planner, &[web(&[1])]).ops {
        maps.apply(op);
    }
    let by_hand: [(Damage, usize); 3] = [
        (|_maps| {}, 0),
        (|maps| maps.ranges.clear(), 1),
        (
            |maps| {
                let known = *maps.ranges.first().expect("one was admitted");
                maps.ranges.insert(AdmittedRange { bits: 8, ..known });
            },
            1,
        ),
    ];
    for (damage, changed) in by_hand {
        let mut maps = maps.clone();
        damage(&mut maps);
        let ranges = maps.ranges.iter().copied();
        let (found, _) = Planner::restore(ROOMY, maps.entries(), &maps.slots, maps.table(), ranges);
        let difference = planner.programmed().difference(found.programmed());
        assert_eq!(difference.changed, changed);
        assert_eq!(maps.is_as_written(planner.programmed()), changed == 0);
    }
}
