//! Ports, opened and closed for real on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::Arc,
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

use super::{check, serving};
use crate::{
    agent::Snapshot,
    health::{Answer, Events, Server, serve_at, serve_checks},
    observe::{Tasks, api::Phase},
};

const LONG: Duration = Duration::from_secs(20);

/// A port of loopback that nobody has.
fn free() -> (SocketAddr, TcpListener) {
    let held = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    (held.local_addr().unwrap(), held)
}

/// First line and body; none if nobody listens.
async fn ask(address: SocketAddr, path: &str) -> Option<(String, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.lines().next()?.trim_start_matches("HTTP/1.1 ").to_owned();
    Some((status, body.to_owned()))
}

/// Asks until the status is the one wanted; "closed" while nobody listens.
async fn until(address: SocketAddr, status: &str) {
    let seen = async {
        loop {
            let answer = ask(address, "/healthz").await;
            let seen = answer.map_or_else(|| "closed".to_owned(), |(status, _)| status);
            if seen == status {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, seen)
        .await
        .unwrap_or_else(|_| panic!("{address} never was {status}"));
}

fn told() -> (watch::Sender<Arc<Snapshot>>, watch::Receiver<Arc<Snapshot>>) {
    watch::channel(Arc::new(serving()))
}

#[tokio::test]
async fn a_port_that_is_closed_ends_its_connections() {
    let (address, held) = free();
    drop(held);
    let server = Server::open(address, Arc::new(|_| Answer::ping())).unwrap();
    let mut idle = TcpStream::connect(address).await.unwrap();
    assert_eq!(ask(address, "/").await.unwrap().1, "ok");
    server.close().await;
    assert_eq!(timeout(LONG, idle.read(&mut [0])).await.unwrap().unwrap_or(0), 0);
    TcpListener::bind(address).expect("the port is free again");
}

#[tokio::test]
async fn a_port_that_is_taken_is_a_failing_task_until_it_is_free() {
    let (address, held) = free();
    let (_snapshots, seen) = told();
    let tasks = Tasks::default();
    let handler: crate::health::Handler = Arc::new(|_| Answer::ping());
    tokio::spawn(serve_at(address, handler, seen, tasks.register("serve-healthz")));
    let failing = async {
        while tasks.list()[0].healthy() {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, failing).await.expect("the task fails");
    assert!(tasks.list()[0].message.contains("in use"), "{:?}", tasks.list());

    drop(held);
    until(address, "200 OK").await;
    assert!(tasks.list()[0].healthy());
}

#[tokio::test]
async fn ports_are_given_back_when_the_datapath_is_removed() {
    let (address, held) = free();
    drop(held);
    let (snapshots, seen) = told();
    let tasks = Tasks::default();
    let handler: crate::health::Handler = Arc::new(|_| Answer::ping());
    tokio::spawn(serve_at(address, handler, seen, tasks.register("serve-healthz")));
    until(address, "200 OK").await;
    let removed = Snapshot {
        phase: Phase::Removed,
        ..serving()
    };
    snapshots.send_replace(Arc::new(removed));
    until(address, "closed").await;
    snapshots.send_replace(Arc::new(serving()));
    until(address, "200 OK").await;
}

/// The agent's task for health check ports, and an API server that keeps its Events.
struct Rig {
    snapshots: watch::Sender<Arc<Snapshot>>,
    tasks: Tasks,
    api: kpr_apiserver::ApiServer,
}

impl Rig {
    fn start() -> Self {
        let (snapshots, seen) = told();
        let (tasks, api) = (Tasks::default(), kpr_apiserver::ApiServer::new());
        let events = Events::new(api.client(), "node-a");
        tokio::spawn(serve_checks(seen, events, tasks.register("serve-health-checks")));
        Self { snapshots, tasks, api }
    }

    fn tell(&self, checks: &[(&str, SocketAddr, usize)]) {
        let checks = checks.iter().map(|(name, at, count)| check(name, at.port(), *count));
        self.snapshots.send_replace(Arc::new(Snapshot {
            health_checks: checks.collect(),
            ..serving()
        }));
    }
}

#[tokio::test]
async fn health_check_ports_follow_the_services() {
    let ((one, held_one), (two, held_two)) = (free(), free());
    drop((held_one, held_two));
    let rig = Rig::start();
    rig.tell(&[("web", one, 1)]);
    until(one, "200 OK").await;
    let (_, body) = ask(one, "/any/path").await.unwrap();
    assert!(body.contains("\"name\": \"web\""), "{body}");

    rig.tell(&[("web", one, 0)]);
    until(one, "503 Service Unavailable").await;

    rig.tell(&[("web", two, 1)]);
    until(two, "200 OK").await;
    until(one, "closed").await;

    // A port may go from one Service to another.
    rig.tell(&[("api", two, 1)]);
    let theirs = async {
        while !ask(two, "/")
            .await
            .is_some_and(|(_, body)| body.contains("\"name\": \"api\""))
        {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(LONG, theirs).await.expect("the port is the other Service's");

    rig.tell(&[]);
    until(two, "closed").await;
}

#[tokio::test]
async fn a_health_check_port_that_is_taken_is_told_once_and_tried_again() {
    use k8s_openapi::api::{core::v1::Service, events::v1::Event};
    use kube::{
        Api,
        api::{ListParams, PostParams},
    };

    let (address, held) = free();
    let rig = Rig::start();
    let services: Api<Service> = Api::default_namespaced(rig.api.client());
    let web = serde_json::from_value(serde_json::json!({
        "metadata": {"name": "web"},
        "spec": {"ports": [{"port": 80}]},
    }));
    let web = services.create(&PostParams::default(), &web.unwrap()).await.unwrap();
    rig.tell(&[("web", address, 1)]);

    let events: Api<Event> = Api::default_namespaced(rig.api.client());
    let told = async {
        loop {
            let mut list = events.list(&ListParams::default()).await.unwrap().items;
            if let Some(event) = list.pop() {
                return (event, list.len());
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let (event, others) = timeout(LONG, told).await.expect("an Event");
    assert_eq!(others, 0);
    assert_eq!(event.reason.as_deref(), Some("FailedToStartServiceHealthcheck"));
    assert_eq!(
        (event.type_.as_deref(), event.action.as_deref()),
        (Some("Warning"), Some("Listen"))
    );
    assert_eq!(event.regarding.unwrap().uid, web.metadata.uid);
    let note = event.note.unwrap();
    let start = format!(
        "node node-a failed to start healthcheck \"default/web\" on port {}: ",
        address.port()
    );
    assert!(note.starts_with(&start), "{note}");
    assert!(!rig.tasks.list()[0].healthy());

    drop(held);
    until(address, "200 OK").await;
    assert!(rig.tasks.list()[0].healthy());
    assert_eq!(events.list(&ListParams::default()).await.unwrap().items.len(), 1);
}
