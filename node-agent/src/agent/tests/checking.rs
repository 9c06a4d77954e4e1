//! What somebody else changes of the datapath is found and put back.

use std::time::Duration;

use super::{fake::Kernel, rig::Rig};
use crate::{agent::GRACE, observe::TaskStatus};

const WEB: &str = "10.96.0.10:80 -> 10.244.0.2:8080";
/// Longer than between two checks of so few Services.
const CHECKED: Duration = Duration::from_secs(31);

#[test]
fn a_datapath_that_nobody_touched_is_left_alone() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.take_ops();
    for _ in 0..3 {
        agent.later(CHECKED);
    }
    assert_eq!(kernel.state().looks, 3);
    assert_eq!(kernel.take_ops(), []);
    assert_eq!(agent.snapshot().repairs, 0);
    assert!(check(&agent).last_success.is_some() && check(&agent).healthy());
}

#[test]
fn frontends_that_vanish_come_back_after_a_grace_period() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.lose_frontends();
    assert_eq!(kernel.shows(), [""; 0]);

    let due = agent.later(CHECKED);
    assert_eq!(
        kernel.shows(),
        [""; 0],
        "programs may still read what was freed a moment ago"
    );
    assert!(due.unwrap() <= agent.now + GRACE, "it comes back by itself");
    agent.later(GRACE);
    assert_eq!(kernel.shows(), [WEB]);
    assert_eq!(agent.snapshot().repairs, 1);
    assert_eq!(
        check(&agent).message,
        "repaired: IPv4 frontends: 1 were missing, 0 changed, 0 not kpr's"
    );

    kernel.take_ops();
    agent.later(CHECKED);
    assert_eq!(kernel.take_ops(), [], "once is enough");
    assert!(check(&agent).healthy());
}

#[test]
fn backends_that_somebody_else_changed_are_changed_back() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.change_backends();
    assert_ne!(kernel.shows(), [WEB]);
    agent.later(CHECKED);
    agent.later(GRACE);
    assert_eq!(kernel.shows(), [WEB]);
    assert_eq!(agent.snapshot().repairs, 1);
}

#[test]
fn programs_and_pins_that_were_taken_away_are_told() {
    let kernel = Kernel::default();
    let mut agent = Rig::serving(&kernel);
    kernel.state().taken_away = vec!["the program kpr_ingress (eth0) was not attached".to_owned()];
    agent.later(CHECKED);
    assert_eq!(agent.snapshot().repairs, 1);
    assert_eq!(
        check(&agent).message,
        "repaired: the program kpr_ingress (eth0) was not attached"
    );
}

#[test]
fn an_agent_that_has_not_written_everything_yet_checks_nothing() {
    let kernel = Kernel::default();
    let mut agent = Rig::configured(&kernel);
    agent.later(CHECKED);
    assert_eq!(kernel.state().looks, 0);
}

fn check(agent: &Rig) -> TaskStatus {
    let mut tasks = agent.tasks.list().into_iter();
    tasks.rfind(|task| task.name == "check-datapath").unwrap()
}
