//! Clients of services. They run as processes of their own (`kpr-cluster client …`), because a socket belongs to the
//! namespace and cgroup of the process that opens it, and print what they saw as JSON.

mod flows;
mod http;
mod report;
mod session;
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
    report::{Held, Started, Tally, UdpHeld, UdpLife},
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
    Http(Requests),
    /// Send datagrams, each from a socket of its own, and count who answers
    Udp {
        #[command(flatten)]
        requests: Requests,
        #[arg(long, value_enum, default_value = "connected")]
        style: UdpStyle,
    },
    /// Keep HTTP connections open and in use until standard input ends
    Hold(Endless),
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

/// Runs a client and prints its report.
pub async fn run(args: ClientArgs) -> Result<()> {
    match args.kind {
        Kind::Http(requests) => print(&many(requests, None).await?),
        Kind::Udp { requests, style } => print(&many(requests, Some(style)).await?),
        Kind::Hold(Endless {
            target,
            connections,
            interval_ms,
            timeout_ms,
        }) => {
            let (interval, within) = (Duration::from_millis(interval_ms), Duration::from_millis(timeout_ms));
            print(&session::hold(target, connections, interval, within, end_of_input()).await?)
        }
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
        Kind::Load(Endless {
            target,
            connections,
            interval_ms,
            timeout_ms,
        }) => {
            let (interval, within) = (Duration::from_millis(interval_ms), Duration::from_millis(timeout_ms));
            print(&session::load(target, connections, interval, within, end_of_input()).await?)
        }
    }
}

fn print(report: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(report)?);
    Ok(())
}

/// Spreads the requests over `parallel` tasks, each one after the other.
async fn many(requests: Requests, udp: Option<UdpStyle>) -> Result<Tally> {
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
            for _ in 0..share {
                match udp {
                    Some(style) => udp::once(target, style, within, &mut tally).await,
                    None => http::once(target, within, &mut tally).await,
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
