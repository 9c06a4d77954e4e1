//! Programs that tell what they do are there while somebody listens.

use super::{
    fake::Kernel,
    rig::{Rig, datapath, spec},
};
use crate::{agent::GRACE, events::Filter, watch::Change};
use std::time::Duration;

/// Whether each start was of programs with events.
fn starts(kernel: &Kernel) -> Vec<bool> {
    let state = kernel.state();
    state.starts.iter().map(|settings| settings.events.is_some()).collect()
}

#[test]
fn programs_with_events_are_there_from_the_first_listener_to_the_last() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    assert_eq!(starts(&kernel), [false]);
    kernel.take_ops();
    let first = agent.core.events().listen(Filter::default()).unwrap();
    agent.later(Duration::ZERO);
    let second = agent.core.events().listen(Filter::default()).unwrap();
    agent.later(GRACE);
    assert_eq!(starts(&kernel), [false, true]);
    assert_eq!(kernel.state().placements.len(), 2, "they are where the others were");
    drop(first);
    agent.later(GRACE);
    assert_eq!(starts(&kernel), [false, true]);
    drop(second);
    agent.later(GRACE);
    assert_eq!(starts(&kernel), [false, true, false]);
    assert_eq!(kernel.state().placements.len(), 3);
    assert_eq!(kernel.take_ops(), [], "nothing was written for it");
}

#[test]
fn a_configuration_that_changes_meanwhile_keeps_them() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    let listening = agent.core.events().listen(Filter::default()).unwrap();
    agent.later(GRACE);
    let mut changed = spec();
    changed.socket_lb.enabled = false;
    agent.tell([datapath(2, changed)]);
    assert_eq!(starts(&kernel), [false, true, true]);
    // Without a configuration as well, they go with the listener.
    agent.tell([Change::Datapath(None)]);
    drop(listening);
    agent.later(GRACE);
    assert_eq!(starts(&kernel), [false, true, true, false]);
}

#[tokio::test]
async fn who_listens_hears_that_they_cannot_be_loaded_and_nothing_else_changes() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.state().failing_starts = 1;
    let mut listening = agent.core.events().listen(Filter::default()).unwrap();
    agent.later(Duration::ZERO);
    let line = format!("{:?}", listening.next().await);
    assert!(line.contains("cannot be loaded"), "{line}");
    assert!(listening.next().await.is_none());
    agent.later(Duration::from_mins(2));
    assert_eq!(starts(&kernel), [false]);
    assert_eq!(agent.snapshot().troubles.first(), None);
}

#[test]
fn an_agent_that_starts_has_programs_without_events() {
    let kernel = Kernel::default();
    let mut before = Rig::serving(&kernel);
    let _listening = before.core.events().listen(Filter::default()).unwrap();
    before.later(GRACE);
    drop(Rig::serving(&kernel));
    assert_eq!(starts(&kernel), [false, true, false]);
}
