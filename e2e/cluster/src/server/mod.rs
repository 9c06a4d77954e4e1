//! What runs in a pod: a small server that says who answered, and whom.

mod facts;
pub(crate) mod flow;
mod http;
mod listen;
mod notify;
mod sctp;

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, Result};
use tokio::{
    net::UdpSocket,
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use self::http::Pod;
pub(crate) use self::notify::Notifier;
pub use self::{
    facts::{Answer, Identity},
    notify::{Notice, Notices},
};
use crate::{process::limits, sctp::RawSocket};

/// Longest datagram that is read, in bytes.
const MAX_DATAGRAM: usize = 65_536;

/// A datagram that begins so comes back as it is.
pub const ECHO: &[u8] = b"echo ";
/// How many clients may be connected at a time, and a few files more.
const OPEN_FILES: u64 = 16_384;

/// The server's command line.
#[derive(Clone, Debug, clap::Args)]
pub struct ServerArgs {
    #[command(flatten)]
    identity: Identity,
    /// UID of the pod, to name it towards the kubelet
    #[arg(long, default_value = "")]
    uid: String,
    /// A TCP port to serve HTTP on
    #[arg(long)]
    tcp: Vec<u16>,
    /// A UDP port to answer on
    #[arg(long)]
    udp: Vec<u16>,
    /// An SCTP port to answer on
    #[arg(long)]
    sctp: Vec<u16>,
    /// Where to report readiness (a datagram socket of the kubelet)
    #[arg(long)]
    notify: Option<PathBuf>,
    /// How long to go on serving new connections after SIGTERM, in milliseconds: until every node has heard that the
    /// pod is going
    #[arg(long, default_value_t = 1_000)]
    drain_ms: u64,
}

/// Serves until SIGTERM and the drain time have passed.
pub async fn run(args: ServerArgs) -> Result<()> {
    limits::allow_open_files(OPEN_FILES)?;
    let mut terminate = signal(SignalKind::terminate()).context("watch for SIGTERM")?;
    let pod = Arc::new(Pod {
        identity: args.identity,
        notifier: Notifier::new(args.notify, args.uid),
        ready: AtomicBool::new(true),
        terminating: AtomicBool::new(false),
    });
    let stop = CancellationToken::new();
    let mut servers = JoinSet::new();
    for port in args.tcp {
        for listener in listen::tcp(port).with_context(|| format!("listen on TCP port {port}"))? {
            let (pod, stop) = (Arc::clone(&pod), stop.clone());
            servers.spawn(async move { http::serve(listener, pod, stop.cancelled_owned()).await });
        }
    }
    for port in args.udp {
        for socket in listen::udp(port).with_context(|| format!("bind UDP port {port}"))? {
            let (pod, stop) = (Arc::clone(&pod), stop.clone());
            servers.spawn(async move {
                stop.run_until_cancelled(answer_datagrams(&socket, &pod))
                    .await
                    .unwrap_or(Ok(()))
            });
        }
    }
    if !args.sctp.is_empty() {
        for socket in RawSocket::listening().context("open a raw socket for SCTP")? {
            let (pod, stop, ports) = (Arc::clone(&pod), stop.clone(), args.sctp.clone());
            servers.spawn(async move {
                stop.run_until_cancelled(sctp::serve(&socket, &ports, &pod))
                    .await
                    .unwrap_or(Ok(()))
            });
        }
    }
    pod.notifier.ready(true).await.context("report readiness")?;
    println!("{} serves on {}", pod.identity.pod, pod.identity.pod_ip);

    terminate.recv().await;
    pod.terminating.store(true, Ordering::Relaxed);
    println!("terminating: draining for {} ms", args.drain_ms);
    tokio::time::sleep(Duration::from_millis(args.drain_ms)).await;
    stop.cancel();
    while let Some(ended) = servers.join_next().await {
        ended??;
    }
    Ok(())
}

async fn answer_datagrams(socket: &UdpSocket, pod: &Pod) -> std::io::Result<()> {
    let server = socket.local_addr()?;
    let mut buffer = vec![0; MAX_DATAGRAM];
    loop {
        let (length, client) = socket.recv_from(&mut buffer).await?;
        let question = &buffer[..length];
        let answer = if question.starts_with(ECHO) {
            question.to_vec()
        } else if let Some(token) = flow::token(question) {
            flow::answer(token, client).into_bytes()
        } else {
            serde_json::to_vec(&pod.answer(client, server))?
        };
        // A client that has gone already answers with an ICMP error: no reason to stop serving the others.
        let _ = socket.send_to(&answer, client).await;
    }
}
