//! Maps that are too small.

use std::net::Ipv4Addr;

use kpr_abi::V4;

use super::{
    fixtures::{ROOMY, Variations, carry_out, deleted, grace, name, service, words},
    simulator::Maps,
};
use crate::plan::{Limits, PlanError, Planner, Scope};

#[test]
fn a_service_that_does_not_fit_keeps_its_old_state_and_others_go_on() {
    let limits = |services, slots, backends| Limits {
        services,
        slots,
        backends,
        ..ROOMY
    };
    let service_2 = || name(2);
    for (limits, error) in [
        (
            limits(3, 10, 10),
            PlanError::ServicesExhausted {
                service: service_2(),
                limit: 3,
            },
        ),
        (
            limits(10, 5, 10),
            PlanError::SlotsExhausted {
                service: service_2(),
                needed: 4,
                longest: 3,
                free: 3,
                limit: 5,
            },
        ),
        (
            limits(10, 10, 5),
            PlanError::BackendsExhausted {
                service: service_2(),
                limit: 5,
            },
        ),
    ] {
        let mut planner = Planner::<V4>::new(limits);
        carry_out(&mut planner, &[service(1, &[11]), service(2, &[12])]);
        let plan = carry_out(
            &mut planner,
            // Service 2 grows by what no limit above allows; service 3 has room.
            &[
                service(2, &[12, 13, 14, 15]).and_node_port(30080).and_node_port(30081),
                service(3, &[16]),
            ],
        );
        assert_eq!(plan.errors, [error], "{limits:?}");
        let words = words(&plan);
        assert!(
            words.last().is_some_and(|word| word.starts_with("service 3 ")),
            "{limits:?}: {words:?}"
        );
        assert_eq!(words.len(), 3, "{limits:?}: only service 3 is written: {words:?}");
    }
}

#[test]
fn what_does_not_fit_fits_once_readers_are_gone() {
    let mut planner = Planner::<V4>::new(Limits { slots: 4, ..ROOMY });
    carry_out(&mut planner, &[service(1, &[1, 2, 3])]);
    let wanted = || [service(1, &[1, 2])];
    let plan = carry_out(&mut planner, &wanted());
    assert_eq!(
        plan.ops,
        [],
        "the old run has readers, and the new one has no room beside it"
    );
    assert_eq!(plan.errors.len(), 1);

    carry_out(&mut planner, &[deleted(1)]);
    let plan = carry_out(&mut planner, &wanted());
    assert_eq!(
        plan.errors[0].reason(),
        "SlotsExhausted",
        "deleted, but not yet out of use"
    );

    grace(&mut planner);
    let plan = carry_out(&mut planner, &wanted());
    assert_eq!(
        words(&plan),
        ["slots 0 [1, 2]", "service 2 cluster 0+2 local 0+0", "clear 3"],
        "ids of frontends are not reused"
    );
}

#[test]
fn messages_say_what_is_missing_and_what_to_do() {
    let mut planner = Planner::<V4>::new(Limits { slots: 2, ..ROOMY });
    let plan = planner.plan(Scope::All, &[service(1, &[1, 2, 3])]);
    assert_eq!(
        plan.errors[0].to_string(),
        "default/s1 needs 3 free slots in a row, and the longest run has 2 (2 of 2 are free); enlarge the slot table"
    );
}

#[test]
fn a_service_without_room_after_a_restart_can_still_be_deleted() {
    let mut before = Planner::<V4>::new(ROOMY);
    let ops = carry_out(&mut before, &[service(1, &[1])]).ops;
    let mut maps = Maps::new(ROOMY);
    for op in &ops {
        maps.apply(op);
    }

    let full = Limits { slots: 2, ..ROOMY };
    let (mut planner, _) = Planner::<V4>::restore(full, maps.entries(), &maps.slots[..2], maps.table(), []);
    assert_eq!(planner.plan(Scope::All, &[service(1, &[1, 2])]).errors.len(), 1);
    assert_eq!(words(&planner.plan(Scope::Changed, &[deleted(1)])), ["delete"]);
}

#[test]
fn ranges_that_do_not_fit_withhold_the_service_until_others_are_gone() {
    let mut planner = Planner::<V4>::new(Limits {
        source_ranges: 2,
        ..ROOMY
    });
    let two = [(Ipv4Addr::new(10, 1, 0, 0), 16), (Ipv4Addr::new(10, 2, 0, 0), 16)];
    carry_out(&mut planner, &[service(1, &[]).from(&two)]);
    let plan = carry_out(&mut planner, &[service(2, &[]).from(&two[..1])]);
    let full = PlanError::SourceRangesExhausted {
        service: name(2),
        limit: 2,
    };
    assert_eq!((plan.ops, plan.errors), (Vec::new(), vec![full]));

    let plan = carry_out(&mut planner, &[service(1, &[]).from(&two[..1])]);
    assert!(plan.frees(), "{plan:?}");
    let plan = carry_out(&mut planner, &[service(2, &[]).from(&two[..1])]);
    assert_eq!(
        words(&plan),
        ["admit 10.1.0.0/16 to 2", "service 2 cluster 0+0 local 0+0"]
    );
}
