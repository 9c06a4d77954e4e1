//! Answers associations: an INIT with who answers, in the cookie, and its echo with the end of the handshake.

use std::{
    io,
    net::{IpAddr, SocketAddr},
};

use super::http::Pod;
use crate::sctp::{Packet, RawSocket, chunk};

/// The tag of this end of all associations.
const TAG: u32 = 0x6b70_7221;

/// Serves these ports. Keeps nothing: what the last step of a handshake needs is in the cookie (RFC 9260 §5.1.3).
pub(super) async fn serve(socket: &RawSocket, ports: &[u16], pod: &Pod) -> io::Result<()> {
    loop {
        let (client, packet) = socket.receive().await?;
        if !ports.contains(&packet.destination_port) {
            continue;
        }
        if let Some(answer) = answer(client, &packet, pod)? {
            // A client that has gone already answers with an ICMP error: no reason to stop serving the others.
            let _ = socket.send(&answer, client).await;
        }
    }
}

fn answer(client: IpAddr, packet: &Packet, pod: &Pod) -> io::Result<Option<Packet>> {
    let back = |tag, chunk, body| Packet {
        source_port: packet.destination_port,
        destination_port: packet.source_port,
        tag,
        chunk,
        body,
    };
    let answer = match (packet.chunk, packet.initiate_tag()) {
        (chunk::INIT, Some(tag)) => {
            let any: IpAddr = if client.is_ipv4() {
                std::net::Ipv4Addr::UNSPECIFIED.into()
            } else {
                std::net::Ipv6Addr::UNSPECIFIED.into()
            };
            let client = SocketAddr::new(client, packet.source_port);
            let facts = serde_json::to_vec(&pod.answer(client, SocketAddr::new(any, packet.destination_port)))?;
            let cookie = [&tag.to_be_bytes()[..], &facts].concat();
            Some(back(tag, chunk::INIT_ACK, Packet::init_body(TAG, Some(&cookie))))
        }
        // The cookie begins with the client's tag.
        (chunk::COOKIE_ECHO, Some(tag)) if packet.tag == TAG => Some(back(tag, chunk::COOKIE_ACK, Vec::new())),
        _ => None,
    };
    Ok(answer)
}
