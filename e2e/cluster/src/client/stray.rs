//! TCP segments far outside the window, from a server to its clients: what a network that repeats old packets delivers.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddrV4},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
};

use anyhow::{Context as _, Result, ensure};

/// The segment's sequence number. A window of 64 KiB holds it once in 65,536 connections, and then the scenario sees no harm done.
const SEQUENCE: u32 = 0x5eed_f00d;
/// URG, PSH and ACK: nothing else in a scenario sends this, so that a capture can tell it.
pub const FLAGS: u8 = 0x38;
const PAYLOAD: &[u8] = b"boom";

/// `TCP_ESTABLISHED` in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";

/// Sends one such segment on every connection that clients have to `port` of this network namespace, and says how many there are.
pub(super) fn stray(port: u16) -> Result<u32> {
    let table = fs::read_to_string("/proc/net/tcp").context("read the connections")?;
    let connections: Vec<_> = table
        .lines()
        .skip(1)
        .filter_map(connection)
        .filter(|(own, _)| own.port() == port)
        .collect();
    let socket = raw_socket().context("open a raw socket")?;
    for (own, client) in &connections {
        send(&socket, &segment(*own, *client), *client)
            .with_context(|| format!("send a segment from {own} to {client}"))?;
    }
    Ok(u32::try_from(connections.len())?)
}

/// Both ends of an established connection, the own one first: `0: 0200F40A:0050 0300F40A:9C40 01 …`
fn connection(line: &str) -> Option<(SocketAddrV4, SocketAddrV4)> {
    let mut words = line.split_whitespace().skip(1);
    let (own, client, state) = (words.next()?, words.next()?, words.next()?);
    (state == ESTABLISHED).then_some((end(own)?, end(client)?))
}

fn end(text: &str) -> Option<SocketAddrV4> {
    let (address, port) = text.split_once(':')?;
    // The kernel prints the address as a number of the machine's own byte order.
    let address = u32::from_str_radix(address, 16).ok()?.to_ne_bytes();
    Some(SocketAddrV4::new(
        Ipv4Addr::from(address),
        u16::from_str_radix(port, 16).ok()?,
    ))
}

/// An IPv4 packet with the segment. The kernel fills in its own checksum and length (raw(7)).
fn segment(from: SocketAddrV4, to: SocketAddrV4) -> Vec<u8> {
    let mut tcp = Vec::new();
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend(SEQUENCE.to_be_bytes());
    tcp.extend(SEQUENCE.to_be_bytes());
    // 5 words of header; window; checksum, to be filled in; urgent pointer.
    tcp.extend([5 << 4, FLAGS]);
    tcp.extend(1_024_u16.to_be_bytes());
    tcp.extend([0, 0, 0, 0]);
    tcp.extend(PAYLOAD);
    let length = u16::try_from(tcp.len()).unwrap_or(u16::MAX);
    let mut summed = Vec::new();
    summed.extend(from.ip().octets());
    summed.extend(to.ip().octets());
    summed.extend([0, libc::IPPROTO_TCP.to_be_bytes()[3]]);
    summed.extend(length.to_be_bytes());
    summed.extend(&tcp);
    tcp[16..18].copy_from_slice(&checksum(&summed).to_be_bytes());

    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, libc::IPPROTO_TCP.to_be_bytes()[3], 0, 0];
    packet.extend(from.ip().octets());
    packet.extend(to.ip().octets());
    packet.extend(tcp);
    packet
}

/// RFC 1071.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).copied().map_or(0, u32::from));
    let sum: u32 = words.sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default()
}

fn raw_socket() -> io::Result<OwnedFd> {
    // SAFETY: plain system call without pointers; the result is checked below.
    let raw = unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, libc::IPPROTO_RAW) };
    if raw < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `raw` is a descriptor that was just opened and has no other owner.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

fn send(socket: &OwnedFd, packet: &[u8], to: SocketAddrV4) -> Result<()> {
    let address = libc::sockaddr_in {
        sin_family: u16::try_from(libc::AF_INET)?,
        sin_port: 0,
        sin_addr: libc::in_addr {
            s_addr: u32::from_ne_bytes(to.ip().octets()),
        },
        sin_zero: [0; 8],
    };
    // SAFETY: packet and address outlive the call and their sizes are given.
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            packet.as_ptr().cast(),
            packet.len(),
            0,
            (&raw const address).cast(),
            u32::try_from(size_of::<libc::sockaddr_in>())?,
        )
    };
    ensure!(sent >= 0, io::Error::last_os_error());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_established_connections_are_read() {
        let established =
            "   1: 0200F40A:0050 0300F40A:9C40 01 00000000:00000000 00:00000000 00000000     0        0 1";
        let ends = (
            "10.244.0.2:80".parse().expect("valid"),
            "10.244.0.3:40000".parse().expect("valid"),
        );
        assert_eq!(connection(established), cfg!(target_endian = "little").then_some(ends));
        let listening = "   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2";
        assert_eq!(connection(listening), None);
        assert_eq!(connection("  sl  local_address rem_address   st"), None);
    }

    #[test]
    fn a_segments_checksum_is_right() {
        let (from, to) = (
            "10.244.0.2:80".parse().expect("valid"),
            "10.244.0.3:40000".parse().expect("valid"),
        );
        let packet = segment(from, to);
        let mut summed = packet[12..20].to_vec();
        summed.extend([0, 6, 0, 24]);
        summed.extend(&packet[20..]);
        // A sum over everything, its own complement included, is 0 (RFC 1071).
        assert_eq!(checksum(&summed), 0);
        assert_eq!(packet[33], FLAGS);
    }
}
