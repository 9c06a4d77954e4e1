//! Who is healthy, who is eligible, and which ports are open.

use std::sync::Arc;

use super::{check, family, now, serving};
use crate::{
    agent::Snapshot,
    health::{ProxyHealth, listeners, node_eligible},
    observe::api::Phase,
    watch::NodeInput,
};

#[test]
fn a_family_is_healthy_until_a_change_has_waited_for_a_minute() {
    let now = now();
    for (rule, updated, pending, healthy) in [
        ("starting", None, None, true),
        ("starting, and slow", None, Some(600), true),
        ("up to date", Some(600), None, true),
        ("a change waits", Some(600), Some(59), true),
        ("a change waits for too long", Some(600), Some(60), false),
    ] {
        let families = vec![family(now, updated, pending)];
        let snapshot = Snapshot { families, ..serving() };
        assert_eq!(ProxyHealth::of(&snapshot, now).healthy, healthy, "{rule}");
    }
}

#[test]
fn one_late_family_is_enough_to_be_unhealthy() {
    let now = now();
    let mut late = family(now, Some(600), Some(60));
    late.family = "IPv6";
    let snapshot = Snapshot {
        families: vec![family(now, Some(1), None), late],
        ..serving()
    };
    let health = ProxyHealth::of(&snapshot, now);
    assert!(!health.healthy);
    let families: Vec<_> = health.families.iter().map(|(name, f)| (*name, f.healthy)).collect();
    assert_eq!(families, [("IPv4", true), ("IPv6", false)]);
}

#[test]
fn an_agent_that_cannot_serve_is_unhealthy() {
    let snapshot = Snapshot {
        phase: Phase::Failed,
        ..serving()
    };
    assert!(!ProxyHealth::of(&snapshot, now()).healthy);
}

#[test]
fn nodes_that_are_to_go_are_not_eligible() {
    let node = |deleting, taints: &[&str]| NodeInput {
        deleting,
        taints: taints.iter().map(|&key| Arc::from(key)).collect(),
        ..NodeInput::default()
    };
    for (rule, node, eligible) in [
        ("no Node", None, false),
        ("a Node", Some(node(false, &[])), true),
        ("being deleted", Some(node(true, &[])), false),
        (
            "the autoscaler's taint",
            Some(node(false, &["a", "ToBeDeletedByClusterAutoscaler"])),
            false,
        ),
        (
            "other taints",
            Some(node(
                false,
                &[
                    "node.kubernetes.io/unschedulable",
                    "DeletionCandidateOfClusterAutoscaler",
                ],
            )),
            true,
        ),
    ] {
        assert_eq!(node_eligible(node.as_ref()), eligible, "{rule}");
    }
}

#[test]
fn health_check_ports_are_open_where_node_ports_are() {
    let open = |words: &[&str], phase| {
        let mut snapshot = Snapshot {
            phase,
            health_checks: [check("api", 32_001, 0), check("web", 32_000, 1)].into(),
            ..serving()
        };
        let applied = snapshot.applied.as_mut().unwrap();
        Arc::make_mut(&mut applied.spec).node_port.addresses = words.iter().map(|&w| w.to_owned()).collect();
        let shown = listeners(&snapshot);
        let shown = shown.iter().map(|l| format!("{} {}", l.service.name, l.address));
        shown.collect::<Vec<_>>()
    };
    let everywhere = ["api [::]:32001", "web [::]:32000"];
    let loopback = ["api 127.0.0.1:32001", "web 127.0.0.1:32000"];
    for (words, expected) in [
        (&["all"][..], &everywhere),
        (&[], &everywhere),
        (&["0.0.0.0/0"], &everywhere),
        (&["primary", "::/0"], &everywhere),
        (&["localhost"], &loopback),
        (&["127.0.0.0/8"], &loopback),
    ] {
        assert_eq!(open(words, Phase::Active), *expected, "{words:?}");
    }
    for phase in [Phase::Waiting, Phase::Removed] {
        assert_eq!(open(&["all"], phase), [""; 0], "{phase:?}");
    }
}
