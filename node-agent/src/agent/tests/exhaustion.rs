//! Flows that are refused for want of a source port, and the thread that makes room.

use std::time::Duration;

use super::{
    fake::Kernel,
    rig::{Rig, datapath, draining},
};
use crate::sweeper::Findings;

/// Longer than any pause between two looks.
const A_WHILE: Duration = Duration::from_secs(6);

#[test]
fn refused_flows_are_a_trouble_while_they_are_refused_and_do_not_stop_the_node_from_serving() {
    let kernel = Kernel::default();
    kernel.state().refused = 5;
    let mut agent = Rig::serving(&kernel);
    assert_eq!(
        agent.snapshot().troubles.first(),
        None,
        "refused under an earlier agent"
    );

    kernel.state().refused = 6;
    agent.later(A_WHILE);
    agent.later(A_WHILE);
    let snapshot = agent.snapshot();
    let told = snapshot.troubles.exhausted.as_deref().unwrap();
    assert_eq!(snapshot.troubles.first(), Some(told));
    assert!(told.contains("widen loadBalancer.snatPorts"), "{told}");

    agent.later(Duration::from_secs(61));
    assert_eq!(agent.snapshot().troubles.exhausted, None);
}

#[test]
fn idle_flows_are_swept_while_there_is_a_datapath() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let control = agent.core.sweeper();
    control.report(Findings::default());
    let first = Findings {
        number: 1,
        ..Findings::default()
    };
    assert_eq!(agent.snapshot().sweep.as_deref(), Some(&first));
    agent.tell([datapath(2, draining())]);
    assert_eq!(agent.snapshot().sweep, None);
    control.report(Findings::default());
    assert_eq!(agent.snapshot().sweep, None, "a sweep that was under way");
}
