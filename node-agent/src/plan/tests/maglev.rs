//! Lists with Maglev tables behind them.

use kpr_abi::V4;

use super::{
    fixtures::{ROOMY, Variations, carry_out, deleted, grace, name, node_port_key, service, words},
    simulator::{Maps, assert_holds},
};
use crate::{
    model::DesiredService,
    plan::{Limits, PlanError, Planner, RestoreProblem, Scope},
};

/// Service `s1` with these backends behind a ClusterIP and a NodePort.
fn random(backends: &[u8]) -> DesiredService<V4> {
    service(1, backends).and_node_port(30080)
}

#[test]
fn only_what_nodes_share_has_a_table() {
    let mut planner = Planner::new(ROOMY);
    let plan = carry_out(&mut planner, &[random(&[1, 2]).by_maglev()]);
    assert_eq!(
        words(&plan),
        [
            "backend 1",
            "backend 2",
            "slots 0 [1, 2]",
            "slots 2 [1, 2] and a table of 251",
            "service 1 cluster 0+2 local 0+0",
            "service 2 cluster 2+2 local 0+0",
        ]
    );
    assert_eq!(planner.programmed().usage().slots, 255);
}

#[test]
fn one_backend_needs_no_table() {
    let mut planner = Planner::new(ROOMY);
    let plan = carry_out(&mut planner, &[random(&[1]).by_maglev()]);
    assert_eq!(
        words(&plan),
        [
            "backend 1",
            "slots 0 [1]",
            "service 1 cluster 0+1 local 0+0",
            "service 2 cluster 0+1 local 0+0",
        ]
    );
}

#[test]
fn a_switch_of_the_algorithm_is_one_write_of_each_service_there_and_back() {
    let mut planner = Planner::new(ROOMY);
    carry_out(&mut planner, &[random(&[1, 2])]);
    let there = carry_out(&mut planner, &[random(&[1, 2]).by_maglev()]);
    assert_eq!(
        words(&there),
        ["slots 2 [1, 2] and a table of 251", "service 2 cluster 2+2 local 0+0"]
    );
    let back = carry_out(&mut planner, &[random(&[1, 2])]);
    assert_eq!(words(&back), ["service 2 cluster 0+2 local 0+0"]);
    grace(&mut planner);
    carry_out(&mut planner, &[]);
    assert_eq!(planner.programmed().usage().slots, 2, "the table's room is free");
}

#[test]
fn without_room_for_a_table_endpoints_are_followed_all_the_same() {
    let mut planner = Planner::new(Limits { slots: 300, ..ROOMY });
    carry_out(&mut planner, &[random(&[1, 2]).by_maglev()]);
    let other = |backends: &[u8]| service::<V4>(2, backends).and_node_port(30081).by_maglev();
    let plan = carry_out(&mut planner, &[other(&[3, 4])]);
    let [error] = &plan.errors[..] else {
        panic!("{:?}", plan.errors);
    };
    assert!(error.is_served());
    assert_eq!(error.reason(), "SlotsExhausted");
    assert_eq!(
        error.to_string(),
        "default/s2 needs 253 free slots in a row for its Maglev table, and the longest run has 43 (43 of 300 are free); \
         its backends are chosen by chance meanwhile; enlarge the slot table"
    );
    assert_eq!(
        words(&plan)[2..],
        [
            "slots 255 [3, 4]",
            "service 3 cluster 255+2 local 0+0",
            "service 4 cluster 255+2 local 0+0",
        ]
    );
    let plan = carry_out(&mut planner, &[other(&[4])]);
    assert_eq!(
        (words(&plan).len(), plan.errors.len()),
        (3, 0),
        "one backend needs no table"
    );
    let plan = carry_out(&mut planner, &[other(&[4, 5])]);
    assert_eq!(plan.errors.len(), 1);

    carry_out(&mut planner, &[deleted(1)]);
    grace(&mut planner);
    let plan = carry_out(&mut planner, &[other(&[4, 5])]);
    assert_eq!(plan.errors, []);
    assert!(words(&plan).iter().any(|word| word.ends_with("and a table of 251")));
}

#[test]
fn more_backends_than_ids_are_no_matter_of_tables() {
    let mut planner = Planner::new(Limits { backends: 2, ..ROOMY });
    let plan = carry_out(&mut planner, &[random(&[1, 2]).by_maglev()]);
    let full = PlanError::BackendsExhausted {
        service: name(1),
        limit: 2,
    };
    assert_eq!((plan.ops, plan.errors), (Vec::new(), vec![full]));
}

#[test]
fn a_table_is_adopted_after_a_restart_and_one_that_was_damaged_is_rewritten() {
    let desired = [random(&[1, 2, 3]).by_maglev()];
    let mut maps = Maps::<V4>::new(ROOMY);
    for op in &carry_out(&mut Planner::new(ROOMY), &desired).ops {
        maps.apply(op);
    }
    assert_holds(&maps, &desired);
    let restore = |maps: &Maps<V4>| Planner::restore(ROOMY, maps.entries(), &maps.slots, maps.table(), []);
    let (mut whole, problems) = restore(&maps);
    assert_eq!(problems, []);
    assert!(whole.plan(Scope::All, &desired).is_empty());
    assert!(maps.is_as_written(whole.programmed()));

    let key = node_port_key::<V4>(30080);
    let slice = maps.services[&key].cluster;
    let in_table = &mut maps.slots[(slice.base + slice.len + 100) as usize];
    *in_table = *in_table % 3 + 1;
    let (mut damaged, problems) = restore(&maps);
    assert_eq!(problems, [RestoreProblem::OtherTable { key, slice }]);
    assert_eq!(whole.programmed().difference(damaged.programmed()).changed, 1);
    assert!(!maps.is_as_written(whole.programmed()));
    let plan = carry_out(&mut damaged, &desired);
    assert_eq!(
        words(&plan).len(),
        2,
        "the table anew, and the service: {:?}",
        words(&plan)
    );
    plan.ops.iter().for_each(|op| maps.apply(op));
    assert_holds(&maps, &desired);
}
