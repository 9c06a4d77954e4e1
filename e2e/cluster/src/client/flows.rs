//! Very many flows at once, each with a token of its own: none may get another's answer, and no two may look the same to the server.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpStream, UdpSocket},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::report::error_name;
use crate::{process::limits, server::flow};

/// Files that a process has open beside its flows.
const OTHER_FILES: u64 = 128;
/// A datagram that gets no answer for so long is sent again.
const RESEND: Duration = Duration::from_millis(500);

/// What very many flows saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flows {
    /// Flows that got their own token back.
    pub answered: u32,
    /// Answers that were another flow's.
    pub misdelivered: u32,
    /// Different peers among those that the server saw behind the flows that were answered.
    pub peers: u32,
    /// Flows that were answered before and look like another peer to the server now.
    pub moved: u32,
    /// Flows that were not answered, by the name of the error.
    pub failures: BTreeMap<String, u32>,
    /// The longest time until a flow was refused, in milliseconds.
    pub slowest_refusal_ms: u64,
}

impl Flows {
    /// Flows that were not answered.
    pub fn failed(&self) -> u32 {
        self.failures.values().sum()
    }

    /// Flows that were refused.
    pub fn refused(&self) -> u32 {
        self.failures.get("ECONNREFUSED").copied().unwrap_or_default()
    }
}

/// What to open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted {
    pub(super) target: SocketAddr,
    pub(super) udp: bool,
    pub(super) count: u32,
    /// How many of them ask at a time.
    pub(super) parallel: u32,
    pub(super) within: Duration,
}

/// Opens flows, asks once on each, and reports. All that were answered stay open; when `stop` comes each asks again, and the second
/// report follows.
pub(super) async fn run(wanted: Wanted, stop: CancellationToken) -> Result<()> {
    limits::allow_open_files(u64::from(wanted.count) + OTHER_FILES)?;
    let parallel = wanted.parallel.max(1) as usize;
    let opening = stream::iter(0..wanted.count).map(async |number| {
        let began = Instant::now();
        let asked = async {
            let mut flow = Flow::open(wanted, number).await?;
            let heard = flow.ask(wanted.within).await?;
            io::Result::Ok((flow, heard))
        };
        (asked.await, began.elapsed())
    });
    let mut report = Report::default();
    let mut open = Vec::new();
    let mut opening = opening.buffer_unordered(parallel);
    while let Some((asked, took)) = opening.next().await {
        match asked {
            Ok((flow, heard)) => {
                report.heard(&heard);
                open.push((flow, heard.peer));
            }
            Err(error) => report.failed(&error, took),
        }
    }
    report.print()?;

    stop.cancelled().await;
    let mut report = Report::default();
    let again = open.iter_mut().map(async |(flow, before)| {
        let began = Instant::now();
        (flow.ask(wanted.within).await, *before, began.elapsed())
    });
    let mut again = stream::iter(again).buffer_unordered(parallel);
    while let Some((heard, before, took)) = again.next().await {
        match heard {
            Ok(heard) => {
                report.flows.moved += u32::from(heard.peer != before);
                report.heard(&heard);
            }
            Err(error) => report.failed(&error, took),
        }
    }
    report.print()
}

/// What a flow heard.
struct Heard {
    peer: SocketAddr,
    /// Answers that were not its own.
    strange: u32,
}

#[derive(Default)]
struct Report {
    flows: Flows,
    peers: HashSet<SocketAddr>,
}

impl Report {
    fn heard(&mut self, heard: &Heard) {
        self.flows.answered += 1;
        self.flows.misdelivered += heard.strange;
        self.peers.insert(heard.peer);
    }

    fn failed(&mut self, error: &io::Error, took: Duration) {
        let flows = &mut self.flows;
        *flows.failures.entry(error_name(error)).or_default() += 1;
        if error.kind() == io::ErrorKind::ConnectionRefused {
            let took = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            flows.slowest_refusal_ms = flows.slowest_refusal_ms.max(took);
        }
    }

    fn print(mut self) -> Result<()> {
        self.flows.peers = u32::try_from(self.peers.len()).context("too many peers")?;
        println!("{}", serde_json::to_string(&self.flows)?);
        Ok(())
    }
}

/// One flow.
struct Flow {
    socket: Socket,
    token: String,
}

enum Socket {
    Tcp(TcpStream),
    Udp(UdpSocket),
}

impl Flow {
    async fn open(wanted: Wanted, number: u32) -> io::Result<Self> {
        let Wanted {
            target, udp, within, ..
        } = wanted;
        let token = format!("{}-{number}", std::process::id());
        let socket = if udp {
            let any: IpAddr = if target.is_ipv4() {
                Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(target).await?;
            Socket::Udp(socket)
        } else {
            Socket::Tcp(timeout(within, TcpStream::connect(target)).await??)
        };
        Ok(Self { socket, token })
    }

    async fn ask(&mut self, within: Duration) -> io::Result<Heard> {
        let until = Instant::now() + within;
        let mut strange = 0;
        loop {
            let answer = match &mut self.socket {
                Socket::Tcp(stream) => timeout_at(until, http(stream, &self.token)).await??,
                Socket::Udp(socket) => timeout_at(until, datagram(socket, &self.token)).await??,
            };
            let (token, peer) = flow::read(&answer).ok_or_else(|| io::Error::other(format!("answer {answer:?}")))?;
            if token == self.token {
                return Ok(Heard { peer, strange });
            }
            strange += 1;
        }
    }
}

/// Asks until something comes back.
async fn datagram(socket: &UdpSocket, token: &str) -> io::Result<String> {
    let question = format!("{}{token}", flow::PREFIX);
    let mut buffer = [0; 256];
    loop {
        socket.send(question.as_bytes()).await?;
        if let Ok(received) = timeout(RESEND, socket.recv(&mut buffer)).await {
            let length = received?;
            return Ok(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
    }
}

/// One HTTP request by hand: thousands of them have no need of more.
async fn http(stream: &mut TcpStream, token: &str) -> io::Result<String> {
    let request = format!("GET /flow/{token} HTTP/1.1\r\nHost: flow\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    loop {
        if stream.read_buf(&mut response).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(body) = body(&String::from_utf8_lossy(&response)) {
            return Ok(body.to_owned());
        }
    }
}

/// The body of a response, once it is there in full.
fn body(response: &str) -> Option<&str> {
    let (head, body) = response.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.trim().parse().ok())?
    });
    body.get(..length?)
}
