//! From what the agent sees to what the API server is told, and when.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use jiff::Timestamp;
use kpr_crds::{
    Acceleration, ForwardingMode, NodeDatapathStatus,
    conditions::{NodeCondition, find},
};
use tokio::{sync::watch, time::sleep};

use super::{Agent, KubeProxy, Sink, SinkError, build, observations, write};
use crate::{
    agent::{
        Applied, LoadTrouble, NodeAddresses, Object, Placement, Snapshot,
        tests::rig::{eth0, spec},
    },
    datapath::{Accelerated, Counter, MapFill, Report, XdpMode},
    devices::Selection,
    observe::{
        Tasks,
        api::{Phase, Services},
    },
};

fn agent() -> Agent {
    Agent {
        version: "0.1.0".into(),
        kernel: "6.12.0".into(),
        started: Timestamp::from_second(1000).unwrap(),
    }
}

/// What is told where nothing was told before.
fn first_status(snapshot: &Snapshot) -> NodeDatapathStatus {
    build(
        &agent(),
        snapshot,
        &KubeProxy::Absent,
        &NodeDatapathStatus::default(),
        Timestamp::UNIX_EPOCH,
    )
}

/// An agent that serves `services` Services.
fn serving(services: u32) -> Snapshot {
    Snapshot {
        phase: Phase::Active,
        object: Some(Object {
            generation: 4,
            unknown_fields: ["spec.speed".to_owned()].into(),
            status: Arc::default(),
        }),
        applied: Some(Applied {
            generation: 4,
            spec: Arc::new(spec()),
        }),
        placement: Some(Placement {
            selection: Selection {
                devices: vec![eth0()],
                direct_routing: Some("eth0".into()),
            },
            v4: NodeAddresses {
                local: vec![([192, 168, 49, 2].into(), 2)],
                ..NodeAddresses::default()
            },
            ..Placement::default()
        }),
        services: Services {
            synced: true,
            services,
            ..Services::default()
        },
        report: Report {
            maps: vec![
                MapFill {
                    name: "IPv4 service".into(),
                    capacity: 10,
                    entries: Some(services),
                },
                MapFill {
                    name: "IPv4 sock reverse NAT".into(),
                    capacity: 10,
                    entries: None,
                },
            ],
            ..Report::default()
        },
        ..Snapshot::default()
    }
}

/// `Ready=True/Serving`, one for each condition.
fn shows(snapshot: &Snapshot) -> Vec<String> {
    observations(snapshot, &KubeProxy::Absent)
        .iter()
        .map(|o| format!("{}={}/{}", o.type_, o.status, o.reason))
        .collect()
}

#[test]
fn conditions_say_what_the_agent_does_and_what_is_wrong() {
    let change = |change: fn(&mut Snapshot)| {
        let mut snapshot = serving(1);
        change(&mut snapshot);
        snapshot
    };
    let table: [(Snapshot, [&str; 3]); 9] = [
        (serving(1), ["True/Serving", "True/Attached", "True/Synced"]),
        (
            change(|s| (s.phase, s.placement) = (Phase::Syncing, None)),
            ["False/Starting", "False/Starting", "False/Syncing"],
        ),
        (
            change(|s| s.troubles.rejected = Some("no".into())),
            ["False/ConfigRejected", "True/Attached", "True/Synced"],
        ),
        (
            change(|s| {
                (s.phase, s.placement) = (Phase::Failed, None);
                s.troubles.load = Some(LoadTrouble {
                    machine: true,
                    message: "no BTF".into(),
                });
            }),
            ["False/KernelUnsupported", "False/LoadFailed", "False/Syncing"],
        ),
        (
            change(|s| s.troubles.no_devices = Some("no ens9".into())),
            ["False/NoDevices", "False/NoDevices", "True/Synced"],
        ),
        (
            change(|s| s.troubles.attach = Some("no".into())),
            ["False/AttachFailed", "False/AttachFailed", "True/Synced"],
        ),
        (
            change(|s| s.troubles.full = Some("full".into())),
            ["True/Serving", "True/Attached", "False/MapFull"],
        ),
        (
            change(|s| s.troubles.write = Some("refused".into())),
            ["True/Serving", "True/Attached", "False/WriteFailed"],
        ),
        (
            change(|s| s.phase = Phase::Draining),
            ["False/Draining", "False/Draining", "False/Draining"],
        ),
    ];
    for (snapshot, [ready, devices, services]) in table {
        let expected = [
            format!("Ready={ready}"),
            format!("DevicesAttached={devices}"),
            format!("ServicesSynced={services}"),
            "KubeProxyAbsent=True/NotFound".to_owned(),
        ];
        assert_eq!(shows(&snapshot), expected, "{snapshot:?}");
    }
}

#[test]
fn removal_is_told_once_it_is_carried_out_or_could_not_be() {
    let mut snapshot = serving(1);
    snapshot.phase = Phase::Removed;
    assert_eq!(shows(&snapshot).last().unwrap(), "Removed=True/Removed");
    snapshot.phase = Phase::Draining;
    snapshot.troubles.removal = Some("busy".into());
    assert_eq!(shows(&snapshot).last().unwrap(), "Removed=False/RemovalFailed");
}

#[test]
fn flows_that_found_no_source_port_are_told_and_that_it_is_over() {
    let mut snapshot = serving(1);
    snapshot.troubles.exhausted = Some("SNAT source ports are exhausted".into());
    assert_eq!(
        shows(&snapshot).last().unwrap(),
        "SnatPortsAvailable=False/SnatPortsExhausted"
    );
    assert_eq!(shows(&snapshot)[0], "Ready=True/Serving", "all other flows are served");
    snapshot.troubles.exhausted = None;
    snapshot.report.counters.push(Counter {
        reason: "refuse_snat_exhausted",
        count: 7,
    });
    assert_eq!(
        shows(&snapshot).last().unwrap(),
        "SnatPortsAvailable=True/SnatPortsFree"
    );
}

#[test]
fn xdp_that_was_asked_for_is_told() {
    type Mode = Result<XdpMode, &'static str>;
    let table: [(Acceleration, Vec<Mode>, &str); 4] = [
        (
            Acceleration::Native,
            vec![Ok(XdpMode::Native)],
            "Accelerated=True/XdpAttached",
        ),
        (
            Acceleration::Native,
            vec![Ok(XdpMode::Native), Err("busy")],
            "Accelerated=False/XdpNotAttached",
        ),
        (
            Acceleration::BestEffort,
            vec![Ok(XdpMode::Generic), Err("busy")],
            "Accelerated=True/XdpAttached",
        ),
        (
            Acceleration::BestEffort,
            vec![Err("busy")],
            "Accelerated=False/XdpUnavailable",
        ),
    ];
    for (wanted, devices, expected) in table {
        let mut snapshot = serving(1);
        let mut spec = snapshot.applied.clone().unwrap();
        let mut changed = (*spec.spec).clone();
        changed.load_balancer.acceleration = wanted;
        spec.spec = changed.into();
        snapshot.applied = Some(spec);
        let device = |mode: Mode| Accelerated {
            device: "eth0".to_owned(),
            mode: mode.map_err(str::to_owned),
        };
        snapshot.report.acceleration = devices.into_iter().map(device).collect();
        assert_eq!(shows(&snapshot).last().unwrap(), expected);
        assert_eq!(shows(&snapshot)[0], "Ready=True/Serving", "tc serves in any case");
    }
    assert!(!shows(&serving(1)).iter().any(|shown| shown.starts_with("Accelerated")));
}

#[test]
fn a_node_takes_encapsulated_packets_unless_the_kernel_would_drop_what_is_in_them() {
    type Names = &'static [&'static str];
    let own = "this node's endpoints get SNAT, since rp_filter is 1 on flannel.1, and packets of clients outside would be dropped there: \
               set it to 2";
    let others = "endpoints get SNAT on nodes that do not take encapsulated packets: node-b";
    let table: [(Names, Names, bool, &str, String); 4] = [
        (
            &[],
            &[],
            true,
            "True",
            "every node with endpoints takes encapsulated packets".to_owned(),
        ),
        (&[], &["node-b"], true, "False", others.to_owned()),
        (&["flannel.1"], &[], false, "False", own.to_owned()),
        (&["flannel.1"], &["node-b"], false, "False", format!("{own}; {others}")),
    ];
    for (strict, without, takes, expected, message) in table {
        let mut snapshot = serving(1);
        let applied = snapshot.applied.as_mut().unwrap();
        let mut changed = (*applied.spec).clone();
        changed.load_balancer.mode = ForwardingMode::Dsr;
        applied.spec = changed.into();
        snapshot.report.strict_tunnels = strict.iter().map(ToString::to_string).collect();
        snapshot.without_dsr = Some(without.iter().map(|&node| node.into()).collect());
        let status = first_status(&snapshot);
        assert_eq!(status.takes_dsr, takes, "{strict:?}");
        let told = find(&status.conditions, NodeCondition::DsrReady.as_str()).unwrap();
        assert_eq!((told.status.as_str(), &told.message), (expected, &message));
    }
}

#[test]
fn a_kube_proxy_that_runs_is_a_conflict() {
    let mode = "iptables".to_owned();
    let seen = observations(&serving(1), &KubeProxy::Running { mode });
    let condition = seen.iter().find(|o| o.type_ == "KubeProxyAbsent").unwrap();
    assert_eq!((condition.status.as_str(), condition.reason), ("False", "Running"));
    assert!(
        condition.message.contains("though kpr serves every Service"),
        "{condition:?}"
    );
}

#[test]
fn a_kube_proxy_beside_a_partial_kpr_has_its_share() {
    let mut snapshot = serving(1);
    let applied = snapshot.applied.as_mut().unwrap();
    let spec = kpr_crds::NodeDatapathSpec {
        mode: kpr_crds::Mode::Partial,
        ..(*applied.spec).clone()
    };
    applied.spec = spec.into();
    let mode = "nftables".to_owned();
    let seen = observations(&snapshot, &KubeProxy::Running { mode });
    let condition = seen.iter().find(|o| o.type_ == "KubeProxyAbsent").unwrap();
    assert!(
        condition.message.contains("spec.services leaves to it"),
        "{condition:?}"
    );
}

#[test]
fn rules_without_a_kube_proxy_are_told_apart() {
    let found = crate::netfilter::Found {
        iptables: true,
        ..Default::default()
    };
    let seen = observations(&serving(1), &KubeProxy::Rules(found));
    let condition = seen.iter().find(|o| o.type_ == "KubeProxyAbsent").unwrap();
    assert_eq!((condition.status.as_str(), condition.reason), ("False", "RulesLeft"));
    assert!(
        condition.message.contains("its iptables rules are here"),
        "{condition:?}"
    );
}

#[test]
fn what_is_done_about_rules_that_are_to_go_is_told() {
    let found = crate::netfilter::Found {
        nftables: true,
        ..Default::default()
    };
    let mut snapshot = serving(1);
    let applied = snapshot.applied.as_mut().unwrap();
    let spec = kpr_crds::NodeDatapathSpec {
        kube_proxy_rules: kpr_crds::KubeProxyRules::Remove,
        ..(*applied.spec).clone()
    };
    applied.spec = spec.into();
    let says = |snapshot: &Snapshot, kube_proxy: &KubeProxy| {
        let seen = observations(snapshot, kube_proxy);
        let condition = seen.into_iter().find(|o| o.type_ == "KubeProxyAbsent").unwrap();
        format!(
            "{}/{}: {}",
            condition.status.as_str(),
            condition.reason,
            condition.message
        )
    };
    let rules = KubeProxy::Rules(found);
    assert_eq!(
        says(&snapshot, &rules),
        "False/RulesLeft: its nftables rules are being removed"
    );
    snapshot.troubles.leftovers = Some("run `nft delete table ip kube-proxy`".to_owned());
    assert_eq!(
        says(&snapshot, &rules),
        "False/CleanUpFailed: run `nft delete table ip kube-proxy`"
    );
    snapshot.troubles.leftovers = None;
    let cleared = crate::takeover::Cleared {
        removed: vec!["table kube-proxy of nftables (IPv4)".to_owned()],
        ..Default::default()
    };
    snapshot.cleared = Some(cleared.into());
    let done = says(&snapshot, &KubeProxy::Absent);
    assert!(
        done.starts_with("True/NotFound") && done.ends_with("; removed: table kube-proxy of nftables (IPv4)"),
        "{done}"
    );
}

#[test]
fn the_status_names_devices_maps_and_the_generation_that_is_in_force() {
    let mut snapshot = serving(3);
    // A newer generation is known and refused.
    snapshot.object.as_mut().unwrap().generation = 5;
    snapshot.troubles.rejected = Some("no".into());
    let status = first_status(&snapshot);
    assert_eq!(status.unknown_fields, ["spec.speed"]);
    assert_eq!(
        (status.observed_generation, status.policy_generation),
        (Some(4), Some(1))
    );
    let ready = find(&status.conditions, NodeCondition::Ready.as_str()).unwrap();
    assert_eq!(
        ready.observed_generation,
        Some(5),
        "the refusal speaks of the newer one"
    );
    assert_eq!(status.devices[0].addresses, ["192.168.49.2"]);
    assert!(status.devices[0].direct_routing);
    let maps: Vec<_> = status.maps.iter().map(|map| (map.name.as_str(), map.entries)).collect();
    assert_eq!(maps, [("IPv4 service", 3)], "a map whose fill is unknown is left out");
}

/// An API server that remembers what was written.
#[derive(Clone, Default)]
struct Remembers {
    written: Arc<Mutex<Vec<NodeDatapathStatus>>>,
    answers: Arc<Mutex<Vec<SinkError>>>,
    back: Arc<tokio::sync::Notify>,
}

impl Sink for Remembers {
    async fn put(&self, status: &NodeDatapathStatus) -> Result<(), SinkError> {
        if let Some(error) = self.answers.lock().unwrap().pop() {
            return Err(error);
        }
        self.written.lock().unwrap().push(status.clone());
        Ok(())
    }

    async fn recovered(&self) {
        self.back.notified().await;
    }
}

impl Remembers {
    fn writes(&self) -> usize {
        self.written.lock().unwrap().len()
    }

    fn last(&self) -> NodeDatapathStatus {
        self.written.lock().unwrap().last().unwrap().clone()
    }
}

struct Writer {
    sink: Remembers,
    snapshots: watch::Sender<Arc<Snapshot>>,
    tasks: Tasks,
    _kube_proxy: watch::Sender<KubeProxy>,
}

fn start(sink: Remembers, snapshot: Snapshot) -> Writer {
    let (snapshots, seen) = watch::channel(Arc::new(snapshot));
    let (kube_proxy, kube_proxy_seen) = watch::channel(KubeProxy::Absent);
    let tasks = Tasks::default();
    tokio::spawn(write(agent(), sink.clone(), seen, kube_proxy_seen, tasks.clone()));
    Writer {
        sink,
        snapshots,
        tasks,
        _kube_proxy: kube_proxy,
    }
}

impl Writer {
    fn sees(&self, snapshot: Snapshot) {
        self.snapshots.send_replace(Arc::new(snapshot));
    }
}

const MOMENT: Duration = Duration::from_millis(10);

#[tokio::test(start_paused = true)]
async fn a_status_is_written_once_and_again_only_when_something_changed() {
    let writer = start(Remembers::default(), serving(1));
    sleep(MOMENT).await;
    assert_eq!(writer.sink.writes(), 1);
    writer.sees(serving(1));
    sleep(Duration::from_mins(5)).await;
    assert_eq!(writer.sink.writes(), 1, "nothing changed");
}

#[tokio::test(start_paused = true)]
async fn a_condition_is_written_soon_and_counts_later() {
    let writer = start(Remembers::default(), serving(1));
    sleep(MOMENT).await;
    let mut failing = serving(1);
    failing.troubles.write = Some("refused".into());
    writer.sees(failing);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(writer.sink.writes(), 2);

    for services in 2..9 {
        let mut snapshot = serving(services);
        snapshot.troubles.write = Some("refused".into());
        writer.sees(snapshot);
        sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(writer.sink.writes(), 2, "counts alone can wait");
    sleep(Duration::from_secs(4)).await;
    assert_eq!(writer.sink.writes(), 3);
    assert_eq!(writer.sink.last().counts.unwrap().services, 8);
}

/// An agent that starts where the one before it has written this status, and will serve as that one did.
fn syncing_after(serving: &mut Snapshot, status: NodeDatapathStatus) -> Snapshot {
    serving.object.as_mut().unwrap().status = Arc::new(status);
    Snapshot {
        phase: Phase::Syncing,
        placement: None,
        ..serving.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn a_restarted_agent_does_not_say_that_it_stopped_serving() {
    let mut before = serving(1);
    let conditions = first_status(&before).conditions;
    let syncing = syncing_after(
        &mut before,
        NodeDatapathStatus {
            conditions,
            ..NodeDatapathStatus::default()
        },
    );
    let writer = start(Remembers::default(), syncing);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(writer.sink.writes(), 0, "a step on the way");
    // Other nodes would send its endpoints nothing encapsulated any more.
    writer.sees(Snapshot {
        placement: None,
        ..before.clone()
    });
    sleep(Duration::from_secs(2)).await;
    assert_eq!(writer.sink.writes(), 0, "devices are not known yet: another step");
    writer.sees(before);
    sleep(MOMENT).await;
    let ready = writer.sink.last().conditions.remove(0);
    assert_eq!(ready.status, "True");
    assert_eq!(
        ready.last_transition_time.0,
        Timestamp::UNIX_EPOCH,
        "it has served all the time"
    );
}

#[tokio::test(start_paused = true)]
async fn a_start_that_takes_long_is_told_but_other_nodes_go_on_to_send_encapsulated_packets() {
    for took in [false, true] {
        let mut serving = serving(0);
        let syncing = syncing_after(
            &mut serving,
            NodeDatapathStatus {
                takes_dsr: took,
                ..NodeDatapathStatus::default()
            },
        );
        let writer = start(Remembers::default(), syncing);
        sleep(Duration::from_secs(6)).await;
        assert_eq!(writer.sink.last().conditions[0].reason, "Starting");
        assert_eq!(writer.sink.last().takes_dsr, took);
        writer.sees(Snapshot {
            phase: Phase::Failed,
            placement: None,
            ..serving
        });
        sleep(Duration::from_secs(6)).await;
        assert!(!writer.sink.last().takes_dsr, "nobody knows what is there");
    }
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_is_tried_again() {
    let sink = Remembers::default();
    sink.answers.lock().unwrap().push(SinkError::Failed("away".into()));
    let writer = start(sink, serving(1));
    sleep(MOMENT).await;
    assert_eq!(writer.sink.writes(), 0);
    assert!(!writer.tasks.list()[0].healthy());
    sleep(Duration::from_secs(1)).await;
    assert_eq!(writer.sink.writes(), 1);
    assert!(writer.tasks.list()[0].healthy());
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_is_back_is_told_at_once() {
    let sink = Remembers::default();
    let away = || SinkError::Failed("away".into());
    sink.answers.lock().unwrap().extend([away(), away(), away(), away()]);
    let writer = start(sink, serving(1));
    // After 1, 2 and 4 seconds; the next pause is one of 8.
    sleep(Duration::from_millis(7500)).await;
    assert_eq!(writer.sink.writes(), 0);
    writer.sink.back.notify_one();
    sleep(MOMENT).await;
    assert_eq!(writer.sink.writes(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_is_gone_is_left_alone_and_a_new_one_is_written() {
    let sink = Remembers::default();
    sink.answers.lock().unwrap().push(SinkError::Gone);
    let writer = start(sink, serving(1));
    sleep(Duration::from_mins(1)).await;
    assert_eq!(writer.sink.writes(), 0);
    assert!(writer.tasks.list()[0].healthy(), "nothing is wrong");
    writer.sees(Snapshot {
        object: None,
        ..serving(1)
    });
    sleep(MOMENT).await;
    writer.sees(serving(1));
    sleep(MOMENT).await;
    assert_eq!(writer.sink.writes(), 1);
}
