//! Maps that contradict themselves.

use kpr_abi::{Be16, ServiceValue, Slice, V4};

use super::{
    fixtures::{ROOMY, backend, carry_out, grace, key, service, words},
    simulator::{Maps, assert_holds},
};
use crate::{
    model::DesiredService,
    plan::{Difference, Limits, Op, Planner, RestoreProblem, Scope},
};

const LIMITS: Limits = Limits { slots: 10, ..ROOMY };

fn desired() -> Vec<DesiredService<V4>> {
    vec![service(1, &[5, 6]), service(2, &[6, 7]), service(3, &[7])]
}

/// Maps as a plan for [`desired`] leaves them: runs at 0+2, 2+2, 4+1; ids 1, 2, 3.
fn maps() -> Maps<V4> {
    let mut maps = Maps::new(LIMITS);
    for op in &Planner::new(LIMITS).plan(Scope::All, &desired()).ops {
        maps.apply(op);
    }
    maps
}

fn restore(maps: &Maps<V4>) -> (Planner<V4>, Vec<RestoreProblem<V4>>) {
    Planner::restore(
        LIMITS,
        maps.entries(),
        &maps.slots,
        maps.table(),
        maps.ranges.iter().copied(),
    )
}

fn change(maps: &mut Maps<V4>, n: u8, change: impl FnOnce(&mut ServiceValue)) {
    change(maps.services.get_mut(&key::<V4>(n)).expect("published"));
}

#[test]
fn what_is_whole_is_adopted_without_a_write() {
    let (mut planner, problems) = restore(&maps());
    assert_eq!(problems, []);
    assert!(planner.plan(Scope::All, &desired()).is_empty());
}

#[test]
fn contradictions_are_reported_and_rewritten() {
    type Damage = fn(&mut Maps<V4>);
    let outside = Slice { base: 9, len: 2 };
    let overlap = [
        Slice { base: 1, len: 2 },
        Slice { base: 2, len: 2 },
        Slice { base: 0, len: 2 },
    ];
    let cases: [(&str, Damage, Vec<RestoreProblem<V4>>); 7] = [
        (
            "a slice beyond the table",
            |maps| change(maps, 1, |value| value.cluster = Slice { base: 9, len: 2 }),
            vec![RestoreProblem::SliceOutside {
                key: key::<V4>(1),
                slice: outside,
            }],
        ),
        (
            "a slice whose end overflows",
            |maps| change(maps, 1, |value| value.local = Slice { base: u32::MAX, len: 2 }),
            vec![RestoreProblem::SliceOutside {
                key: key::<V4>(1),
                slice: Slice { base: u32::MAX, len: 2 },
            }],
        ),
        (
            "a slice that overlaps with others",
            |maps| change(maps, 3, |value| value.cluster = Slice { base: 1, len: 2 }),
            vec![
                RestoreProblem::SliceOverlaps {
                    key: key::<V4>(1),
                    slice: overlap[2],
                },
                RestoreProblem::SliceOverlaps {
                    key: key::<V4>(2),
                    slice: overlap[1],
                },
                RestoreProblem::SliceOverlaps {
                    key: key::<V4>(3),
                    slice: overlap[0],
                },
            ],
        ),
        (
            "a slot without backend",
            |maps| maps.slots[4] = 9,
            vec![RestoreProblem::NoBackend {
                key: key::<V4>(3),
                id: 9,
            }],
        ),
        (
            "a cleared backend",
            |maps| maps.apply(&Op::ClearBackend { id: 1 }),
            vec![RestoreProblem::NoBackend {
                key: key::<V4>(1),
                id: 1,
            }],
        ),
        (
            "an id that is another service's",
            |maps| change(maps, 3, |value| value.id = 1),
            vec![RestoreProblem::ServiceId {
                key: key::<V4>(3),
                id: 1,
            }],
        ),
        (
            "no id",
            |maps| change(maps, 3, |value| value.id = 0),
            vec![RestoreProblem::ServiceId {
                key: key::<V4>(3),
                id: 0,
            }],
        ),
    ];
    for (rule, damage, expected) in cases {
        let mut maps = maps();
        damage(&mut maps);
        let (mut planner, problems) = restore(&maps);
        assert_eq!(problems, expected, "{rule}");

        let plan = planner.plan(Scope::All, &desired());
        assert_eq!(plan.errors, [], "{rule}");
        for op in &plan.ops {
            maps.apply(op);
            planner.record(op);
        }
        assert_holds(&maps, &desired());
        grace(&mut planner);
        for op in &planner.plan(Scope::All, &desired()).ops {
            maps.apply(op);
            planner.record(op);
        }
        assert_holds(&maps, &desired());
        let (mut planner, problems) = restore(&maps);
        assert_eq!(problems, [], "{rule}: mended");
        assert!(planner.plan(Scope::All, &desired()).is_empty(), "{rule}");
        assert_eq!(planner.programmed().usage().slots, 5, "{rule}: nothing is lost");
    }
}

#[test]
fn what_differs_from_what_was_written_is_counted() {
    type Damage = fn(&mut Maps<V4>);
    let cases: [(&str, Damage, [usize; 3]); 6] = [
        ("nothing", |_maps| {}, [0, 0, 0]),
        (
            "a frontend that is gone",
            |maps| {
                maps.services.remove(&key::<V4>(1));
            },
            [1, 0, 0],
        ),
        (
            "another value",
            |maps| change(maps, 1, |value| value.cluster.len = 1),
            [0, 1, 0],
        ),
        ("another slot", |maps| maps.slots[4] = 1, [0, 1, 0]),
        (
            "another backend, which two frontends use",
            |maps| maps.backends[2].port = Be16::new(1),
            [0, 2, 0],
        ),
        (
            "a frontend that nobody wrote",
            |maps| {
                maps.services.insert(key::<V4>(9), ServiceValue::default());
            },
            [0, 0, 1],
        ),
    ];
    let (written, _) = restore(&maps());
    for (damage, carry_out, [missing, changed, foreign]) in cases {
        let mut maps = maps();
        carry_out(&mut maps);
        let (found, _) = restore(&maps);
        let difference = Difference {
            missing,
            changed,
            foreign,
        };
        assert_eq!(
            written.programmed().difference(found.programmed()),
            difference,
            "{damage}"
        );
        assert_eq!(
            maps.is_as_written(written.programmed()),
            difference.is_none(),
            "{damage}"
        );
    }
}

#[test]
fn a_contradiction_that_nobody_wants_is_deleted() {
    let mut maps = maps();
    change(&mut maps, 1, |value| value.cluster = Slice { base: 9, len: 2 });
    let (mut planner, _) = restore(&maps);
    let plan = planner.plan(Scope::All, &desired()[1..]);
    assert_eq!(words(&plan)[0], "delete");
}

#[test]
fn slots_that_a_broken_service_still_leads_to_are_not_given_to_another() {
    let mut maps = maps();
    change(&mut maps, 3, |value| value.cluster = Slice { base: 3, len: 4 });
    let (mut planner, _) = restore(&maps);
    let plan = planner.plan(Scope::Changed, &[service(4, &[8])]);
    assert_eq!(
        words(&plan)[1],
        "slots 7 [4]",
        "2..7 is being read, 0..2 is service 1's"
    );
}

#[test]
fn an_id_that_a_broken_service_still_leads_to_is_not_given_to_another_backend() {
    let mut maps = maps();
    maps.slots[4] = 4;
    let (mut planner, problems) = restore(&maps);
    assert_eq!(
        problems,
        [RestoreProblem::NoBackend {
            key: key::<V4>(3),
            id: 4
        }]
    );
    let plan = carry_out(&mut planner, &[service(4, &[8])]);
    assert_eq!(
        words(&plan)[0],
        "backend 5",
        "4 is what clients of service 3 are led to"
    );

    carry_out(&mut planner, &[service(3, &[7])]);
    grace(&mut planner);
    let plan = carry_out(&mut planner, &[service(5, &[9])]);
    assert_eq!(words(&plan)[0], "backend 4", "until it is rewritten");
}

#[test]
fn a_backend_outside_the_table_is_reported_and_unused_ids_are_skipped() {
    let entries = [(0, backend::<V4>(9).value()), (100, backend::<V4>(9).value())];
    let (planner, problems) = Planner::<V4>::restore(ROOMY, [], &[0; 10], entries, []);
    assert_eq!(problems, [0, 100].map(|id| RestoreProblem::BackendOutside { id }));
    assert_eq!(planner.programmed().usage().backends, 0);
}

#[test]
fn of_two_ids_for_one_backend_the_lower_stays() {
    let mut maps = maps();
    maps.backends[7] = backend::<V4>(7).value();
    maps.slots[4] = 7;
    let (mut planner, problems) = restore(&maps);
    assert_eq!(problems, []);
    let plan = planner.plan(Scope::All, &desired());
    assert_eq!(words(&plan), ["slots 5 [3]", "service 3 cluster 5+1 local 0+0"]);
    plan.ops.iter().for_each(|op| planner.record(op));
    grace(&mut planner);
    assert_eq!(words(&planner.plan(Scope::All, &desired())), ["clear 7"]);
}
