//! One association: set up, and aborted.

use std::{io, net::SocketAddr, time::Duration};

use tokio::time::timeout;

use super::report::Tally;
use crate::{
    sctp::{Packet, RawSocket, chunk},
    server::Answer,
};

/// Ports of clients: outside those of NodePorts and of SNAT, so that both have to be changed on the way.
const PORTS: std::ops::Range<u16> = 33_000..44_000;

/// One association from a port of its own.
pub(super) async fn once(target: SocketAddr, number: u32, within: Duration, tally: &mut Tally) {
    let answer = match timeout(within, associate(target, number, tally)).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(io::ErrorKind::TimedOut.into()),
    };
    match answer {
        Ok(answer) => tally.add_answer(&answer),
        Err(error) => tally.add_failure(&error),
    }
}

async fn associate(target: SocketAddr, number: u32, tally: &mut Tally) -> io::Result<Answer> {
    let socket = RawSocket::new(target.ip())?;
    // Nobody else in this namespace speaks SCTP: the process and the number are enough to have ports of one's own.
    let unique = std::process::id().wrapping_mul(257).wrapping_add(number);
    let port = PORTS.start + u16::try_from(unique % u32::from(PORTS.end - PORTS.start)).unwrap_or_default();
    let own_tag = unique | 1;
    let to_server = |tag, chunk, body| Packet {
        source_port: port,
        destination_port: target.port(),
        tag,
        chunk,
        body,
    };
    socket
        .send(
            &to_server(0, chunk::INIT, Packet::init_body(own_tag, None)),
            target.ip(),
        )
        .await?;
    let acknowledged = next(&socket, target, port, own_tag, chunk::INIT_ACK).await?;
    let incomplete = || io::Error::from(io::ErrorKind::InvalidData);
    let (tag, cookie) = acknowledged
        .initiate_tag()
        .zip(acknowledged.cookie())
        .ok_or_else(incomplete)?;
    let facts = cookie.get(4..).ok_or_else(incomplete)?;
    socket
        .send(&to_server(tag, chunk::COOKIE_ECHO, cookie.to_vec()), target.ip())
        .await?;
    next(&socket, target, port, own_tag, chunk::COOKIE_ACK).await?;
    socket
        .send(&to_server(tag, chunk::ABORT, Vec::new()), target.ip())
        .await?;
    tally.reply_sources.insert(target);
    Ok(serde_json::from_slice(facts)?)
}

/// The next packet of the association, which must be of this chunk; the socket itself takes only what the target's address sends.
async fn next(socket: &RawSocket, target: SocketAddr, port: u16, tag: u32, chunk: u8) -> io::Result<Packet> {
    loop {
        let (source, packet) = socket.receive().await?;
        let is_ours = source == target.ip()
            && packet.source_port == target.port()
            && packet.destination_port == port
            && packet.tag == tag;
        if is_ours {
            return if packet.chunk == chunk {
                Ok(packet)
            } else {
                Err(io::Error::other(format!("chunk {} instead of {chunk}", packet.chunk)))
            };
        }
    }
}
