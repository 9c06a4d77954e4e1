//! The task around the core: gathering, publishing, stopping.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    fake::Kernel,
    rig::{Rig, datapath, eth0, node, spec},
};
use crate::{
    agent::{Inputs, Snapshot, run},
    model::tests::fixtures::{ep, slice, svc},
    observe::{Names, api::Phase, names},
    plan::Op,
    watch::Change,
};

struct Running {
    changes: mpsc::Sender<Change>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    names: Names,
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
    _devices: watch::Sender<Option<Vec<crate::devices::Device>>>,
}

fn start(kernel: &Kernel) -> Running {
    let (changes, backlog) = mpsc::channel(64);
    let (devices, seen) = watch::channel(None);
    let (names, questions) = names();
    let (publish, snapshots) = watch::channel(Arc::default());
    let stop = CancellationToken::new();
    let inputs = Inputs {
        changes: backlog,
        devices: seen,
        questions,
    };
    let task = tokio::spawn(run(Rig::starts(kernel).core, inputs, publish, stop.clone()));
    devices.send_replace(Some(vec![eth0()]));
    Running {
        changes,
        snapshots,
        names,
        stop,
        task,
        _devices: devices,
    }
}

impl Running {
    async fn tell(&self, changes: impl IntoIterator<Item = Change>) {
        for change in changes {
            self.changes.send(change).await.unwrap();
        }
    }

    async fn until(&mut self, what: impl Fn(&Snapshot) -> bool) {
        let seen = self.snapshots.wait_for(|snapshot| what(snapshot));
        timeout(Duration::from_mins(1), seen)
            .await
            .expect("within a minute")
            .unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn changes_that_come_together_are_carried_out_together() {
    let kernel = Kernel::default();
    let mut agent = start(&kernel);
    agent.tell([Change::Node(Some(node())), datapath(1, spec())]).await;
    agent
        .tell([
            Change::Services(vec![svc("web").parse()]),
            Change::Slices(Vec::new()),
            Change::Synced,
        ])
        .await;
    agent.until(|s| s.phase == Phase::Active).await;
    kernel.take_ops();

    for n in 2..12 {
        let moved = slice("web-1", "web").with([ep(&format!("10.244.0.{n}"))]).parse();
        agent.tell([Change::Slice(Box::new(moved))]).await;
    }
    agent.until(|s| s.services.backends == 1).await;
    let published = kernel
        .take_ops()
        .iter()
        .filter(|op| matches!(op, Op::PutService { .. }))
        .count();
    assert_eq!(published, 1, "ten changes, one switch");
    assert_eq!(kernel.shows(), ["10.96.0.10:80 -> 10.244.0.11:8080"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_changes_does_not_put_off_the_work() {
    let kernel = Kernel::default();
    let mut agent = start(&kernel);
    agent.tell([Change::Node(Some(node())), datapath(1, spec())]).await;
    agent
        .tell([
            Change::Services(vec![svc("web").parse()]),
            Change::Slices(Vec::new()),
            Change::Synced,
        ])
        .await;
    agent.until(|s| s.phase == Phase::Active).await;

    let began = Instant::now();
    let changes = agent.changes.clone();
    let stream = tokio::spawn(async move {
        for n in 0..1000_u32 {
            let moved = slice("web-1", "web")
                .with([ep(&format!("10.244.0.{}", 2 + n % 200))])
                .parse();
            if changes.send(Change::Slice(Box::new(moved))).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    agent.until(|s| s.services.backends > 0).await;
    assert!(began.elapsed() < Duration::from_millis(100), "{:?}", began.elapsed());
    stream.abort();
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_told_what_frontends_are_called() {
    let agent = start(&Kernel::default());
    agent.tell([Change::Services(vec![svc("web").parse()])]).await;
    let ask = async {
        loop {
            // The change may still be under way.
            let names = agent.names.frontends().await.unwrap();
            if let [name] = names.as_slice() {
                return (name.frontend.to_string(), name.service.clone());
            }
        }
    };
    let named = timeout(Duration::from_mins(1), ask).await.unwrap();
    assert_eq!(named, ("10.96.0.10:80".to_owned(), "default/web".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn stopping_leaves_the_datapath_as_it_is() {
    let kernel = Kernel::default();
    let mut agent = start(&kernel);
    agent.tell([Change::Node(Some(node())), datapath(1, spec())]).await;
    agent
        .tell([
            Change::Services(vec![svc("web").parse()]),
            Change::Slices(Vec::new()),
            Change::Synced,
        ])
        .await;
    agent.until(|s| s.phase == Phase::Active).await;
    agent.stop.cancel();
    agent.task.await.unwrap();
    assert_eq!(kernel.shows(), ["10.96.0.10:80 -> "]);
    assert_eq!(kernel.state().removals, 0);
}
