//! Single changes, and the writes that they lead to.

use kpr_abi::{V4, backend::flags};

use super::fixtures::{ROOMY, Variations, backend, carry_out, deleted, grace, key, node_port_key, service, words};
use crate::plan::{Op, Planner, Scope, WithoutLocal};

fn planner() -> Planner<V4> {
    Planner::new(ROOMY)
}

#[test]
fn a_new_service_is_published_last() {
    let mut planner = planner();
    let plan = carry_out(&mut planner, &[service(1, &[5, 6])]);
    assert_eq!(
        words(&plan),
        [
            "backend 1",
            "backend 2",
            "slots 0 [1, 2]",
            "service 1 cluster 0+2 local 0+0"
        ]
    );
}

#[test]
fn what_has_not_changed_is_not_written() {
    let mut planner = planner();
    let services = [service(1, &[5, 6]).local(&[5]).and_node_port(30080), service(2, &[])];
    carry_out(&mut planner, &services);
    assert!(planner.plan(Scope::Changed, &services).is_empty());
    assert!(planner.plan(Scope::All, &services).is_empty());
}

#[test]
fn frontends_with_equal_lists_share_a_run() {
    let mut planner = planner();
    let plan = carry_out(
        &mut planner,
        &[
            service(1, &[5, 6]).local(&[5, 6]).and_node_port(30080),
            service(2, &[5, 6]),
        ],
    );
    assert_eq!(
        words(&plan),
        [
            "backend 1",
            "backend 2",
            "slots 0 [1, 2]",
            "service 1 cluster 0+2 local 0+2",
            "service 2 cluster 0+2 local 0+2",
            "service 3 cluster 0+2 local 0+0",
        ]
    );
}

#[test]
fn a_service_without_backends_has_no_slots() {
    let plan = carry_out(&mut planner(), &[service(1, &[])]);
    assert_eq!(words(&plan), ["service 1 cluster 0+0 local 0+0"]);
}

#[test]
fn a_changed_list_is_a_fresh_run_and_a_switch() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5, 6])]);
    let plan = carry_out(&mut planner, &[service(1, &[5, 6, 7])]);
    assert_eq!(
        words(&plan),
        ["backend 3", "slots 2 [1, 2, 3]", "service 1 cluster 2+3 local 0+0"]
    );
}

#[test]
fn a_backend_that_only_changes_flags_keeps_its_id_and_its_slots() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5, 6])]);
    let draining = service::<V4>(1, &[5, 6]).backends(|b| b.terminating = b.addr == backend::<V4>(6).addr);
    let plan = carry_out(&mut planner, &[draining]);
    let mut value = backend::<V4>(6).value();
    value.flags = flags::TERMINATING;
    assert_eq!(plan.ops, [Op::PutBackend { id: 2, value }]);
}

#[test]
fn a_change_of_policy_or_affinity_is_one_write() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5])]);
    let mut sticky = service(1, &[5]);
    sticky.frontends[0].affinity_seconds = 60;
    let plan = carry_out(&mut planner, &[sticky]);
    assert_eq!(words(&plan), ["service 1 cluster 0+1 local 0+0"]);
}

#[test]
fn a_backend_is_cleared_and_its_id_and_slots_reused_only_after_a_grace_period() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5, 6])]);
    let plan = carry_out(&mut planner, &[service(1, &[6])]);
    assert_eq!(words(&plan), ["slots 2 [2]", "service 1 cluster 2+1 local 0+0"]);

    let plan = carry_out(&mut planner, &[service(2, &[7])]);
    assert_eq!(
        words(&plan),
        ["backend 3", "slots 3 [3]", "service 2 cluster 3+1 local 0+0"],
        "backend 1 and slots 0 and 1 may have readers"
    );

    grace(&mut planner);
    let plan = carry_out(&mut planner, &[service(3, &[8])]);
    assert_eq!(
        words(&plan),
        ["backend 1", "slots 0 [1]", "service 3 cluster 0+1 local 0+0"],
        "the best fit, and the lowest id; what is overwritten needs no clearing"
    );
}

#[test]
fn a_backend_that_no_service_leads_to_says_so_at_once_and_until_one_does() {
    let mut planner = planner();
    let gone = |planner: &mut Planner<V4>| {
        let ops = planner.gone();
        for op in &ops {
            planner.record(op);
        }
        ops
    };
    carry_out(&mut planner, &[service(1, &[5, 6]), service(2, &[6])]);
    assert_eq!(gone(&mut planner), []);

    carry_out(&mut planner, &[deleted(1)]);
    let mut value = backend::<V4>(5).value();
    value.flags |= flags::GONE;
    let put = Op::PutBackend { id: 1, value };
    assert_eq!(gone(&mut planner), [put], "service 2 leads to the other one");
    assert_eq!(gone(&mut planner), [], "once");

    let plan = carry_out(&mut planner, &[service(3, &[5])]);
    let value = backend::<V4>(5).value();
    assert_eq!(plan.ops.first(), Some(&Op::PutBackend { id: 1, value }));
    assert_eq!(gone(&mut planner), []);
}

#[test]
fn service_ports_that_only_other_nodes_serve_are_counted_once_by_the_policy_that_minds() {
    let mut planner = planner();
    let counted = |planner: &Planner<V4>| {
        let WithoutLocal { internal, external } = planner.programmed().without_local();
        (internal, external)
    };
    let mut web = service(1, &[5]).and_node_port(30080).and_node_port(30081);
    for frontend in &mut web.frontends {
        frontend.external_local = true;
    }
    let mut inside = service(2, &[6]);
    inside.frontends[0].internal_local = true;
    let mut nobody = service(3, &[]);
    nobody.frontends[0].internal_local = true;
    carry_out(&mut planner, &[web.clone(), inside.clone(), nobody, service(4, &[7])]);
    assert_eq!(counted(&planner), (1, 1));
    carry_out(&mut planner, &[web.local(&[5])]);
    assert_eq!(counted(&planner), (1, 0));
    carry_out(&mut planner, &[deleted(2)]);
    assert_eq!(counted(&planner), (0, 0));
}

#[test]
fn what_was_freed_after_the_seal_is_not_released_with_it() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5]), service(2, &[6])]);
    carry_out(&mut planner, &[deleted(1)]);
    let sealed = planner.seal().expect("a run waits");
    carry_out(&mut planner, &[deleted(2)]);
    planner.release(sealed);
    assert_eq!(words(&carry_out(&mut planner, &[])), ["clear 1"]);
    grace(&mut planner);
    assert_eq!(words(&carry_out(&mut planner, &[])), ["clear 2"]);
    assert_eq!(planner.seal(), None, "nothing waits any more");
    assert_eq!(planner.programmed().usage().slots, 0);
}

#[test]
fn a_release_does_not_pull_the_slots_from_under_a_plan() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5])]);
    carry_out(&mut planner, &[service(1, &[])]);
    let sealed = planner.seal().expect("a run waits");
    let plan = planner.plan(Scope::Changed, &[service(1, &[5])]);
    planner.release(sealed);
    for op in &plan.ops {
        planner.record(op);
    }
    let plan = carry_out(&mut planner, &[service(2, &[6])]);
    assert_eq!(
        words(&plan),
        ["backend 2", "slots 1 [2]", "service 2 cluster 1+1 local 0+0"]
    );
}

#[test]
fn an_endpoint_that_comes_back_at_once_finds_its_id_and_its_slots() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5, 6])]);
    carry_out(&mut planner, &[service(1, &[6])]);
    let plan = carry_out(&mut planner, &[service(1, &[5, 6])]);
    assert_eq!(words(&plan), ["service 1 cluster 0+2 local 0+0"]);
}

#[test]
fn a_deleted_service_goes_and_others_stay() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5]).and_node_port(30080), service(2, &[5])]);
    let plan = carry_out(&mut planner, &[deleted(1)]);
    let deletes = [node_port_key::<V4>(30080), key::<V4>(1)].map(|key| Op::DeleteService { key });
    assert_eq!(plan.ops, deletes);
    grace(&mut planner);
    assert!(
        carry_out(&mut planner, &[]).is_empty(),
        "service 2 has the same backends"
    );
}

#[test]
fn a_service_that_loses_a_frontend_keeps_the_others() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5]).and_node_port(30080)]);
    let plan = carry_out(&mut planner, &[service(1, &[5]).and_node_port(30081)]);
    assert_eq!(words(&plan), ["service 3 cluster 0+1 local 0+0", "delete"]);
}

#[test]
fn a_frontend_that_moves_to_another_service_is_switched_not_deleted() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5]).and_node_port(30080), service(2, &[6])]);
    let moved = [service(1, &[5]), service(2, &[6]).and_node_port(30080)];
    let plan = carry_out(&mut planner, &moved);
    assert_eq!(words(&plan), ["service 2 cluster 1+1 local 0+0"]);
    assert!(
        carry_out(&mut planner, &[deleted(1)]).ops.len() == 1,
        "only its own is left to delete"
    );
}

#[test]
fn the_list_of_all_services_deletes_what_is_not_in_it() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5]), service(2, &[6])]);
    assert!(planner.plan(Scope::Changed, &[service(2, &[6])]).is_empty());
    let plan = planner.plan(Scope::All, &[service(2, &[6])]);
    assert_eq!(plan.ops, [Op::DeleteService { key: key::<V4>(1) }]);
}

#[test]
fn what_failed_is_planned_again_and_what_was_done_is_not() {
    let mut planner = planner();
    let wanted = [service(1, &[5, 6])];
    for done in 0..4 {
        let plan = planner.plan(Scope::Changed, &wanted);
        assert_eq!(plan.ops.len(), 4 - done);
        planner.record(&plan.ops[0]);
    }
    assert!(planner.plan(Scope::Changed, &wanted).is_empty());

    let failed = planner.plan(Scope::Changed, &[deleted(1)]);
    assert_eq!(failed.ops.len(), 1, "and the delete fails");
    assert_eq!(planner.plan(Scope::Changed, &[deleted(1)]), failed);
}

#[test]
fn a_generation_is_sealed_only_if_something_was_freed_in_it() {
    let mut planner = planner();
    carry_out(&mut planner, &[service(1, &[5]), service(2, &[6])]);
    assert_eq!(planner.seal(), None, "nothing was freed yet");
    carry_out(&mut planner, &[deleted(1)]);
    let first = planner.seal();
    assert!(first.is_some());
    assert_eq!(planner.seal(), None, "and nothing since");
    carry_out(&mut planner, &[deleted(2)]);
    assert!(planner.seal() > first);
}
