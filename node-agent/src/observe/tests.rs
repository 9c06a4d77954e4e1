//! The local API, asked over its socket.

use std::{path::Path, sync::Arc};

use jiff::Timestamp;
use kpr_log_filter::{Levels, LevelsLayer};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::{mpsc, watch},
};
use tokio_util::sync::CancellationToken;

use super::{
    Answers, ClientError, NameQuestion, RunDir, SOCKET, Tasks,
    api::{FrontendName, Phase},
    get_frontends, get_log, get_pod, get_status, names, serve, set_log,
};
use crate::{
    agent::{LoadTrouble, Snapshot, View},
    watch::ApiServer,
};

struct Agent {
    snapshots: watch::Sender<Arc<Snapshot>>,
    questions: mpsc::Receiver<NameQuestion>,
    stop: CancellationToken,
    _run_dir: RunDir,
    _lines: LevelsLayer,
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
        cluster: watch::channel(Arc::default()).1,
    };
    let (lines, levels) = Levels::new(&[], "info".parse().unwrap());
    let stop = CancellationToken::new();
    let (names, questions) = names();
    let answers = Answers {
        source: Arc::new(view),
        names,
        levels,
        events: Arc::default(),
    };
    tokio::spawn(serve(listener, answers, stop.clone()));
    Agent {
        snapshots,
        questions,
        stop,
        _run_dir: run_dir,
        _lines: lines,
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
async fn names_of_frontends_are_asked_of_the_core_and_of_nobody_once_it_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = start(dir.path());
    let dns = FrontendName {
        frontend: "10.96.0.10:53".parse().unwrap(),
        protocol: "UDP".into(),
        service: "kube-system/kube-dns".into(),
        port: "dns".into(),
    };
    let (asked, answered) = tokio::join!(get_frontends(dir.path()), async {
        let NameQuestion::Frontends(answer) = agent.questions.recv().await.unwrap() else {
            panic!("another question");
        };
        answer.send(vec![dns.clone()])
    });
    answered.unwrap();
    assert_eq!(asked.unwrap(), [dns]);

    drop(agent.questions);
    let ended = get_frontends(dir.path()).await.unwrap_err();
    assert!(ended.to_string().contains("503"), "{ended}");
}

#[tokio::test]
async fn the_addresses_of_a_pod_are_asked_of_the_core() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = start(dir.path());
    let (asked, answered) = tokio::join!(get_pod(dir.path(), "default", "web-0"), async {
        let NameQuestion::Pod(name, answer) = agent.questions.recv().await.unwrap() else {
            panic!("another question");
        };
        (name.to_string(), answer.send(vec!["10.244.0.7".parse().unwrap()]))
    });
    assert_eq!(answered, ("default/web-0".to_owned(), Ok(())));
    assert_eq!(asked.unwrap(), ["10.244.0.7".parse::<std::net::IpAddr>().unwrap()]);
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

#[tokio::test]
async fn log_lines_are_filtered_otherwise_while_the_agent_runs() {
    let dir = tempfile::tempdir().unwrap();
    let _agent = start(dir.path());
    assert_eq!(get_log(dir.path()).await.unwrap().filter, "info");
    let changed = set_log(dir.path(), "debug").await.unwrap();
    assert_eq!((changed.filter.as_str(), changed.initial.as_str()), ("debug", "info"));
    let refused = set_log(dir.path(), "loud").await.unwrap_err();
    let refused = refused.to_string();
    assert!(
        refused.starts_with("the agent refused: \"loud\" is no log level"),
        "{refused}"
    );
    assert_eq!(get_log(dir.path()).await.unwrap().filter, "debug");
}
