//! One datagram and its answer.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use tokio::{net::UdpSocket, time::timeout};

use super::report::Tally;
use crate::server::Answer;

/// How a UDP client addresses its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum UdpStyle {
    /// `connect`, then `send`: the kernel accepts answers from that peer only.
    Connected,
    /// `sendto` on an unconnected socket, as resolvers do.
    Unconnected,
}

/// One exchange on a socket of its own.
pub(super) async fn once(target: SocketAddr, style: UdpStyle, within: Duration, tally: &mut Tally) {
    let answer = match timeout(within, exchange(target, style, tally)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    };
    match answer {
        Ok(answer) => tally.add_answer(&answer),
        Err(error) => tally.add_failure(&error),
    }
}

async fn exchange(target: SocketAddr, style: UdpStyle, tally: &mut Tally) -> io::Result<Answer> {
    let socket = UdpSocket::bind((any(target), 0)).await?;
    match style {
        UdpStyle::Connected => {
            socket.connect(target).await?;
            tally.peers.insert(socket.peer_addr()?);
            socket.send(b"who answers?").await?;
        }
        UdpStyle::Unconnected => {
            socket.send_to(b"who answers?", target).await?;
        }
    }
    let mut buffer = [0; 2048];
    let (length, source) = socket.recv_from(&mut buffer).await?;
    tally.reply_sources.insert(source);
    Ok(serde_json::from_slice(&buffer[..length])?)
}

/// The wildcard of the target's family.
pub(super) fn any(target: SocketAddr) -> IpAddr {
    if target.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    }
}
