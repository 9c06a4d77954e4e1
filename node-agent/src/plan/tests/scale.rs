//! Ten thousand Services: a change costs what it changes.

use kpr_abi::{Addr4, ServiceKey, V4, backend::flags};

use super::simulator::{Maps, assert_holds};
use crate::{
    model::tests::fixtures::{Ep, Slice, ep, named, node, slice, svc},
    plan::{Limits, Op, Planner, Scope},
};

const SERVICES: u32 = 10_000;
const LIMITS: Limits = Limits {
    services: 65_536,
    slots: 262_144,
    backends: 131_072,
    source_ranges: 16_384,
};

fn endpoints(n: u32) -> Slice {
    let pods = (1..=10).map(|i| ep(&format!("10.{}.{}.{i}", 128 + n / 250, n % 250)));
    slice(&format!("s{n}-1"), &format!("s{n}")).with(pods.collect::<Vec<Ep>>())
}

/// Programs so many Services, adds an endpoint to one of them, and returns that Service's frontend and the writes.
fn one_change_among(services: u32) -> (ServiceKey<Addr4>, Vec<Op<V4>>) {
    let mut node = node();
    for n in 0..services {
        let ip = format!("10.96.{}.{}", n / 250, 1 + n % 250);
        node = node.svc(svc(&format!("s{n}")).cluster_ips(&[&ip])).slice(endpoints(n));
    }
    node.index.take_dirty();
    let mut planner = Planner::<V4>::new(LIMITS);
    let mut maps = Maps::new(LIMITS);
    let desired = node.index.desired::<V4>(&node.facts);
    let first = planner.plan(Scope::All, &desired);
    assert_eq!(
        first.ops.len(),
        12 * services as usize,
        "ten backends, one run, one service each"
    );
    for op in &first.ops {
        maps.apply(op);
        planner.record(op);
    }
    assert_holds(&maps, &desired);
    assert!(planner.plan(Scope::All, &desired).is_empty());

    let mut node = node.slice(endpoints(43).with([ep("10.1.0.1").on("node-a")]));
    let dirty = node.index.take_dirty();
    assert_eq!(dirty, [named("s43")].into());
    let changed: Vec<_> = dirty
        .iter()
        .map(|name| node.index.service::<V4>(name, &node.facts))
        .collect();
    let plan = planner.plan(Scope::Changed, &changed);
    (changed[0].frontends[0].key, plan.ops)
}

#[test]
fn a_change_among_ten_thousand_services_is_written_as_one_among_a_hundred_and_touches_no_other_service() {
    for (own, ops) in [100, SERVICES].map(one_change_among) {
        let [
            Op::PutBackend { id, value: backend },
            Op::PutSlots { base, run },
            Op::PutService { key, value },
        ] = ops.as_slice()
        else {
            panic!("one backend, one run, one service: {ops:?}");
        };
        assert_eq!(backend.flags, flags::LOCAL);
        assert_eq!(
            (run.ids().len(), value.cluster.len, value.cluster.base),
            (11, 11, *base)
        );
        assert!(run.ids().contains(id));
        assert_eq!(*key, own);
    }
}
