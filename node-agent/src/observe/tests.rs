//! The local API, asked over its socket.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::watch,
};
use tokio_util::sync::CancellationToken;

use super::{ClientError, RunDir, SOCKET, Tasks, api::Phase, get_status, serve};
use crate::{
    agent::{LoadTrouble, Snapshot, View},
    watch::ApiServer,
};

struct Agent {
    snapshots: watch::Sender<Arc<Snapshot>>,
    stop: CancellationToken,
    _run_dir: RunDir,
}

fn start(dir: &Path) -> Agent {
    let run_dir = RunDir::claim(dir).unwrap();
    let listener = run_dir.listen().unwrap();
    let (snapshots, seen) = watch::channel(Arc::default());
    let tasks = Tasks::default();
    tasks.register("watch-services").succeeded(Timestamp::now());
    let view = View {
        node: "node-a".into(),
        kernel: "6.12.0".into(),
        started: Timestamp::now(),
        snapshots: seen,
        tasks,
        api_server: ApiServer::new("http://192.168.49.2:8443/".into()),
    };
    let stop = CancellationToken::new();
    tokio::spawn(serve(listener, Arc::new(view), Arc::default(), stop.clone()));
    Agent {
        snapshots,
        stop,
        _run_dir: run_dir,
    }
}

async fn first_line(dir: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(dir.join(SOCKET)).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn the_status_is_what_the_agent_says_at_that_moment() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path());
    let status = get_status(dir.path()).await.unwrap();
    assert_eq!((status.node.as_str(), status.phase), ("node-a", Phase::Waiting));
    assert_eq!(status.kubernetes.server, "http://192.168.49.2:8443/");
    assert_eq!(status.tasks[0].name, "watch-services");

    agent.snapshots.send_replace(Arc::new(Snapshot {
        phase: Phase::Active,
        ..Snapshot::default()
    }));
    assert_eq!(get_status(dir.path()).await.unwrap().phase, Phase::Active);
}

#[tokio::test]
async fn health_is_bad_while_the_datapath_cannot_be_loaded() {
    let dir = tempfile::tempdir().unwrap();
    let agent = start(dir.path());
    assert_eq!(first_line(dir.path(), "/healthz").await, "HTTP/1.1 200 OK");
    let mut failed = Snapshot {
        phase: Phase::Failed,
        ..Snapshot::default()
    };
    failed.troubles.load = Some(LoadTrouble {
        machine: true,
        message: "no BTF".into(),
    });
    agent.snapshots.send_replace(Arc::new(failed));
    assert_eq!(
        first_line(dir.path(), "/healthz").await,
        "HTTP/1.1 503 Service Unavailable"
    );
    assert_eq!(first_line(dir.path(), "/nothing").await, "HTTP/1.1 404 Not Found");
}

#[tokio::test]
async fn an_agent_that_is_down_is_told_from_one_that_answers_badly() {
    let dir = tempfile::tempdir().unwrap();
    let down = get_status(dir.path()).await.unwrap_err();
    assert!(matches!(down, ClientError::NotRunning { .. }), "{down}");
    assert!(down.is_unreachable());

    // A killed agent leaves its socket.
    drop(std::os::unix::net::UnixListener::bind(dir.path().join(SOCKET)).unwrap());
    assert!(get_status(dir.path()).await.unwrap_err().is_unreachable());

    let agent = start(dir.path());
    get_status(dir.path()).await.unwrap();
    agent.stop.cancel();
}
