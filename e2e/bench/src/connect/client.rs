//! Who connects: a process of its own, since a socket belongs to the namespace and cgroup of the process that opens it.

use std::{net::SocketAddrV4, os::fd::AsRawFd as _, time::Instant};

use anyhow::{Context as _, Result};
use nix::{
    libc::linger,
    sys::socket::{AddressFamily, SockFlag, SockType, SockaddrIn, connect, setsockopt, socket, sockopt::Linger},
};

use crate::{
    contest::{Contest, Side, Sorted, play},
    machine,
};

/// Connections of a sample; its figure is their median, since another process may take the processor during any of them. Few, so that
/// a round is over before the machine has changed.
const SAMPLE: u32 = 20;

/// How many connections are made to the Service in so many rounds: two samples in each, and in the one that does not count.
pub(super) fn connections(rounds: u32) -> u64 {
    u64::from(SAMPLE) * 2 * u64::from(rounds + 1)
}

/// Connects to both in turns, and prints what that comes to.
pub(crate) fn client(direct: SocketAddrV4, service: SocketAddrV4, rounds: u32) -> Result<()> {
    machine::stay_on_one_cpu()?;
    let summary = play(&mut Connecting { direct, service }, rounds)?;
    println!("{}", serde_json::to_string(&summary)?);
    Ok(())
}

struct Connecting {
    direct: SocketAddrV4,
    service: SocketAddrV4,
}

impl Contest for Connecting {
    fn sample(&mut self, side: Side) -> Result<f64> {
        let to = match side {
            Side::Ours => self.service,
            Side::Peer => self.direct,
        };
        let took: Vec<f64> = (0..SAMPLE).map(|_| microseconds(to)).collect::<Result<_>>()?;
        Ok(Sorted::new(took).quantile(0.5))
    }
}

/// How long connect() takes: without making the socket, and without closing it.
fn microseconds(to: SocketAddrV4) -> Result<f64> {
    let socket = socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    // Closing resets: nothing is left that would keep the port.
    let reset = linger {
        l_onoff: 1,
        l_linger: 0,
    };
    setsockopt(&socket, Linger, &reset)?;
    let begun = Instant::now();
    connect(socket.as_raw_fd(), &SockaddrIn::from(to)).with_context(|| format!("connect to {to}"))?;
    Ok(begun.elapsed().as_secs_f64() * 1e6)
}
