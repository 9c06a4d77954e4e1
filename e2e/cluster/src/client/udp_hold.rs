//! A UDP client with one connected socket at a time, as many resolvers and proxies are: it goes on with its socket as long as it
//! can.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, SystemTime},
};

use anyhow::Result;
use tokio::{
    net::UdpSocket,
    time::{Instant, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::report::{Started, UdpHeld, UdpLife, error_name};
use crate::server::Answer;

/// Sends a question every `interval` until `stop`, and reports that it has started once the first has had its time.
///
/// ECONNREFUSED on a socket that is connected (ICMP port unreachable) does not end it: the server may be back soon. Any other
/// error does, and a new socket takes its place.
pub(super) async fn hold(target: SocketAddr, interval: Duration, stop: CancellationToken) -> Result<UdpHeld> {
    let mut held = UdpHeld::default();
    let mut current: Option<UdpSocket> = None;
    let mut started = false;
    // At least one question after the start, however soon the end is asked for.
    while !started || !stop.is_cancelled() {
        let next = Instant::now() + interval;
        if current.is_none() {
            match connect(target).await {
                Ok(socket) => {
                    current = Some(socket);
                    held.sockets.push(UdpLife::default());
                }
                Err(error) => *held.not_connected.entry(error_name(&error)).or_default() += 1,
            }
        }
        if let (Some(socket), Some(life)) = (&current, held.sockets.last_mut())
            && let Err(error) = ask(socket, next, life).await
        {
            life.end = Some(error_name(&error));
            current = None;
        }
        sleep_until(next).await;
        if !started {
            println!("{}", serde_json::to_string(&Started { connections: 1 })?);
            started = true;
        }
    }
    Ok(held)
}

async fn connect(target: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0)).await?;
    socket.connect(target).await?;
    Ok(socket)
}

/// One question, and what comes back before `until`.
async fn ask(socket: &UdpSocket, until: Instant, life: &mut UdpLife) -> io::Result<()> {
    if let Err(error) = socket.send(b"who answers?").await {
        return unless_refused(error);
    }
    let mut buffer = [0; 2048];
    match timeout_at(until, socket.recv(&mut buffer)).await {
        Err(_elapsed) => Ok(()),
        Ok(Err(error)) => unless_refused(error),
        Ok(Ok(length)) => {
            let answer: Answer = serde_json::from_slice(&buffer[..length])?;
            life.answers += 1;
            let first = life.first_ms.entry(answer.identity.pod);
            first.or_insert_with(unix_ms);
            Ok(())
        }
    }
}

fn unless_refused(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        Ok(())
    } else {
        Err(error)
    }
}

/// Milliseconds since 1970, to compare with what another process saw.
pub(crate) fn unix_ms() -> u64 {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
