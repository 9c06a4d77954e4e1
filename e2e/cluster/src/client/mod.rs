//! Clients of services. They run as processes of their own (`kpr-cluster client …`), because a socket belongs to the
//! namespace and cgroup of the process that opens it, and print what they saw as JSON.

mod bind;
mod echo;
mod flows;
mod http;
mod paced;
mod report;
mod sctp;
mod session;
mod stray;
mod udp;
mod udp_hold;

use std::{net::SocketAddr, time::Duration};

use anyhow::Result;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use self::udp_hold::unix_ms;
pub use self::{
    flows::Flows,
    report::{Bound, Echoes, Held, Paced, Started, Tally, UdpHeld, UdpLife},
    stray::FLAGS as STRAY_FLAGS,
    udp::UdpStyle,
};

/// `kpr-cluster client …`
#[derive(Clone, Debug, clap::Args)]
pub struct ClientArgs {
    #[command(subcommand)]
    kind: Kind,
}

#[derive(Clone, Debug, clap::Subcommand)]
enum Kind {
    /// Make HTTP requests, each on a connection of its own, and count who answers
    Http {
        #[command(flatten)]
        requests: Requests,
        /// The client's own port; by default, one of the kernel's choice
        #[arg(long)]
        local_port: Option<u16>,
    },
    /// Send datagrams, each from a socket of its own, and count who answers
    Udp {
        #[command(flatten)]
        requests: Requests,
        #[arg(long, value_enum, default_value = "connected")]
        style: UdpStyle,
    },
    /// Set associations of SCTP up and abort them, and count who answers
    Sctp(Requests),
    /// Keep HTTP connections open and in use until standard input ends
    Hold {
        #[command(flatten)]
        endless: Endless,
        /// The client's own port, which another connection to elsewhere may have, too; by default, one of the kernel's choice
        #[arg(long)]
        local_port: Option<u16>,
    },
    /// Open very many flows at once, each with a token that must come back to it; ask again when standard input ends
    Flows {
        #[command(flatten)]
        requests: Requests,
        /// Over UDP
        #[arg(long)]
        udp: bool,
    },
    /// Make requests on new connections until standard input ends
    Load(Endless),
    /// Make requests at a rate, each on a connection of its own, until standard input ends
    Paced {
        /// Where to, e.g. 10.96.0.10:80
        target: SocketAddr,
        /// Requests per second
        #[arg(long)]
        per_second: u32,
        /// How long each request may take, in milliseconds: longer than a busy machine makes one wait, and than it takes to notice
        /// that nobody is there any more
        #[arg(long, default_value_t = 20_000)]
        timeout_ms: u64,
    },
    /// Send requests whose bodies come back, and compare
    Echo {
        #[command(flatten)]
        requests: Requests,
        /// Send datagrams, and not HTTP requests
        #[arg(long)]
        udp: bool,
        /// Length of each body
        #[arg(long)]
        bytes: usize,
    },
    /// Send a TCP segment far outside the window on every connection to a port of this namespace, and print how many
    Stray {
        /// The port
        port: u16,
    },
    /// Ask for an address and port of one's own, and let go of it
    Bind {
        /// Which, e.g. 0.0.0.0:30080
        address: SocketAddr,
        /// UDP instead of TCP
        #[arg(long)]
        udp: bool,
    },
    /// Send datagrams on one connected socket until standard input ends; open another only if it breaks
    UdpHold {
        /// Where to, e.g. 10.96.0.10:53
        target: SocketAddr,
        /// Pause between two datagrams, in milliseconds
        #[arg(long, default_value_t = 50)]
        interval_ms: u64,
    },
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Requests {
    /// Where to, e.g. 10.96.0.10:80
    target: SocketAddr,
    /// How many
    #[arg(long, default_value_t = 1)]
    count: u32,
    /// How many at a time
    #[arg(long, default_value_t = 1)]
    parallel: u32,
    /// How long each may take, in milliseconds
    #[arg(long, default_value_t = 2_000)]
    timeout_ms: u64,
}

#[derive(Clone, Copy, Debug, clap::Args)]
struct Endless {
    /// Where to, e.g. 10.96.0.10:80
    target: SocketAddr,
    /// How many connections at a time
    #[arg(long, default_value_t = 1)]
    connections: u32,
    /// Pause between two requests of one connection, in milliseconds
    #[arg(long, default_value_t = 20)]
    interval_ms: u64,
    /// How long each request may take, in milliseconds
    #[arg(long, default_value_t = 2_000)]
    timeout_ms: u64,
}

impl Endless {
    fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }

    fn within(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// Runs a client and prints its report.
pub async fn run(args: ClientArgs) -> Result<()> {
    match args.kind {
        Kind::Http { requests, local_port } => print(&many(requests, How::Http(local_port)).await?),
        Kind::Udp { requests, style } => print(&many(requests, How::Udp(style)).await?),
        Kind::Sctp(requests) => print(&many(requests, How::Sctp).await?),
        Kind::Hold { endless, local_port } => print(&session::hold(&endless, local_port, end_of_input()).await?),
        Kind::Paced {
            target,
            per_second,
            timeout_ms,
        } => {
            let within = Duration::from_millis(timeout_ms);
            print(&paced::paced(target, per_second, within, end_of_input()).await?)
        }
        Kind::Echo { requests, udp, bytes } => {
            let Requests {
                target,
                count,
                timeout_ms,
                ..
            } = requests;
            let within = Duration::from_millis(timeout_ms);
            print(&echo::echo(target, udp, bytes, count, within).await)
        }
        Kind::Stray { port } => print(&stray::stray(port)?),
        Kind::Bind { address, udp } => print(&bind::bind(address, udp)),
        Kind::Flows { requests, udp } => {
            let Requests {
                target,
                count,
                parallel,
                timeout_ms,
            } = requests;
            let wanted = flows::Wanted {
                target,
                udp,
                count,
                parallel,
                within: Duration::from_millis(timeout_ms),
            };
            flows::run(wanted, end_of_input()).await
        }
        Kind::UdpHold { target, interval_ms } => {
            print(&udp_hold::hold(target, Duration::from_millis(interval_ms), end_of_input()).await?)
        }
        Kind::Load(endless) => print(&session::load(&endless, end_of_input()).await?),
    }
}

fn print(report: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

/// How one of many requests is made.
#[derive(Clone, Copy)]
enum How {
    /// From a port of one's own, or of the kernel's choice.
    Http(Option<u16>),
    Udp(UdpStyle),
    Sctp,
}

/// Spreads the requests over `parallel` tasks, each one after the other.
async fn many(requests: Requests, how: How) -> Result<Tally> {
    let Requests {
        target,
        count,
        parallel,
        timeout_ms,
    } = requests;
    let within = Duration::from_millis(timeout_ms);
    let parallel = parallel.clamp(1, count.max(1));
    let mut workers = JoinSet::new();
    for worker in 0..parallel {
        let share = count / parallel + u32::from(worker < count % parallel);
        workers.spawn(async move {
            let mut tally = Tally::default();
            for number in (worker..).step_by(parallel as usize).take(share as usize) {
                match how {
                    How::Http(local_port) => http::once(target, local_port, within, &mut tally).await,
                    How::Udp(style) => udp::once(target, style, within, &mut tally).await,
                    How::Sctp => sctp::once(target, number, within, &mut tally).await,
                }
            }
            tally
        });
    }
    let mut total = Tally::default();
    while let Some(tally) = workers.join_next().await {
        total.merge(tally?);
    }
    Ok(total)
}

/// Cancelled when standard input ends, which is how the other side says that it has seen enough.
fn end_of_input() -> CancellationToken {
    let token = CancellationToken::new();
    let ended = token.clone();
    // A thread, because a pending read of tokio's would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ended.cancel();
    });
    token
}
