//! Records the IP packets that cross one device, as tcpdump would.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use anyhow::{Context as _, Result, anyhow, ensure};

use super::Netns;

/// How long one read waits before it looks whether to stop, in microseconds.
const READ_TIMEOUT_US: i64 = 20_000;
/// Room for bursts between two reads, in bytes.
const BUFFER_BYTES: libc::c_int = 16 << 20;
/// Link, IPv6 and TCP headers fit in here; payloads are not looked at.
const SNAPSHOT: usize = 128;

/// Transport protocol of a captured packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// Any other, by its IP protocol number. Ports are 0.
    Other(u8),
}

/// The addresses of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CapturedPacket {
    /// Who sent it.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// What it carries.
    pub transport: Transport,
    /// The flags of its TCP header (FIN is 1, SYN 2, RST 4 …); 0 if it has none.
    pub tcp_flags: u8,
    /// True if it left the machine through the device; false if it came in.
    pub outgoing: bool,
}

/// A running capture. Dropping it ends it.
#[derive(Debug)]
pub struct Capture {
    stop: Arc<AtomicBool>,
    reader: Option<JoinHandle<Result<Vec<CapturedPacket>>>>,
}

impl Capture {
    /// Captures on `device` inside `netns`. When this returns, every later packet is seen.
    pub fn start(netns: &Netns, device: &str) -> Result<Self> {
        let socket = netns.run(|| open(device).with_context(|| format!("capture on {device}")))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stop_reader = Arc::clone(&stop);
        let reader = std::thread::Builder::new()
            .name("capture".to_owned())
            .spawn(move || read(&socket, &stop_reader))?;
        Ok(Self {
            stop,
            reader: Some(reader),
        })
    }

    /// Ends the capture. Fails if the kernel had to leave packets out, because then nothing is proved.
    pub fn finish(mut self) -> Result<Vec<CapturedPacket>> {
        self.stop.store(true, Ordering::Relaxed);
        let reader = self.reader.take().context("a capture ends once")?;
        reader
            .join()
            .map_err(|_panic| anyhow!("the capture's thread panicked"))?
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn open(device: &str) -> Result<OwnedFd> {
    let index = nix::net::if_::if_nametoindex(device).context("find the device")?;
    let protocol = u16::try_from(libc::ETH_P_ALL)?.to_be();
    // SAFETY: plain system call without pointers; the result is checked below.
    let raw = unsafe {
        libc::socket(
            libc::AF_PACKET,
            libc::SOCK_RAW | libc::SOCK_CLOEXEC,
            i32::from(protocol),
        )
    };
    ensure!(raw >= 0, io::Error::last_os_error());
    // SAFETY: `raw` is a descriptor that was just opened and has no other owner.
    let socket = unsafe { OwnedFd::from_raw_fd(raw) };
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, &BUFFER_BYTES)?;
    let timeout = libc::timeval {
        tv_sec: 0,
        tv_usec: READ_TIMEOUT_US,
    };
    set_option(&socket, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &timeout)?;
    // SAFETY: sockaddr_ll is plain old data for which all zeroes is a valid value.
    let mut address: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    address.sll_family = u16::try_from(libc::AF_PACKET)?;
    address.sll_protocol = protocol;
    address.sll_ifindex = i32::try_from(index)?;
    // SAFETY: `address` outlives the call and its size is given.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of_u32::<libc::sockaddr_ll>(),
        )
    };
    ensure!(bound == 0, io::Error::last_os_error());
    Ok(socket)
}

fn set_option<T>(socket: &OwnedFd, level: libc::c_int, name: libc::c_int, value: &T) -> Result<()> {
    // SAFETY: `value` outlives the call and its size is given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            std::ptr::from_ref(value).cast(),
            size_of_u32::<T>(),
        )
    };
    ensure!(result == 0, io::Error::last_os_error());
    Ok(())
}

fn size_of_u32<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

fn read(socket: &OwnedFd, stop: &AtomicBool) -> Result<Vec<CapturedPacket>> {
    let mut packets = Vec::new();
    let mut buffer = [0_u8; SNAPSHOT];
    loop {
        // Looked at before the read: what arrived before the stop is still taken.
        let stopping = stop.load(Ordering::Relaxed);
        // SAFETY: sockaddr_ll is plain old data for which all zeroes is a valid value.
        let mut from: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
        let mut from_length = size_of_u32::<libc::sockaddr_ll>();
        // SAFETY: buffer and address outlive the call and their sizes are given.
        let length = unsafe {
            libc::recvfrom(
                socket.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                0,
                (&raw mut from).cast(),
                &raw mut from_length,
            )
        };
        if let Ok(length) = usize::try_from(length) {
            packets.extend(parse(&buffer[..length], from.sll_pkttype == libc::PACKET_OUTGOING));
        } else {
            let error = io::Error::last_os_error();
            ensure!(
                matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
                error
            );
            if stopping {
                break;
            }
        }
    }
    let lost = lost_packets(socket)?;
    ensure!(lost == 0, "the capture lost {lost} packets: its buffer was full");
    Ok(packets)
}

fn lost_packets(socket: &OwnedFd) -> Result<u32> {
    let mut statistics = libc::tpacket_stats {
        tp_packets: 0,
        tp_drops: 0,
    };
    let mut length = size_of_u32::<libc::tpacket_stats>();
    // SAFETY: `statistics` outlives the call and its size is given.
    let result = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_STATISTICS,
            (&raw mut statistics).cast(),
            &raw mut length,
        )
    };
    ensure!(result == 0, io::Error::last_os_error());
    Ok(statistics.tp_drops)
}

/// The IP packet in an Ethernet frame, if there is one.
fn parse(frame: &[u8], outgoing: bool) -> Option<CapturedPacket> {
    let ethertype = u16::from_be_bytes(array(frame, 12)?);
    let ip = frame.get(14..)?;
    let (source, destination, protocol, payload) = match ethertype {
        0x0800 => {
            let header = usize::from(ip.first()? & 0x0f) * 4;
            let source = IpAddr::V4(Ipv4Addr::from(array::<4>(ip, 12)?));
            let destination = IpAddr::V4(Ipv4Addr::from(array::<4>(ip, 16)?));
            // Only a first fragment has ports.
            let fragment_offset = u16::from_be_bytes(array(ip, 6)?) & 0x1fff;
            let payload = if fragment_offset == 0 { ip.get(header..)? } else { &[] };
            (source, destination, *ip.get(9)?, payload)
        }
        0x86dd => {
            let source = IpAddr::V6(Ipv6Addr::from(array::<16>(ip, 8)?));
            let destination = IpAddr::V6(Ipv6Addr::from(array::<16>(ip, 24)?));
            (source, destination, *ip.get(6)?, ip.get(40..)?)
        }
        _ => return None,
    };
    let transport = match i32::from(protocol) {
        libc::IPPROTO_TCP => Transport::Tcp,
        libc::IPPROTO_UDP => Transport::Udp,
        _ => Transport::Other(protocol),
    };
    let port = |offset| match transport {
        Transport::Other(_) => 0,
        Transport::Tcp | Transport::Udp => array(payload, offset).map(u16::from_be_bytes).unwrap_or_default(),
    };
    Some(CapturedPacket {
        source: SocketAddr::new(source, port(0)),
        destination: SocketAddr::new(destination, port(2)),
        transport,
        tcp_flags: match transport {
            Transport::Tcp => payload.get(13).copied().unwrap_or_default(),
            Transport::Udp | Transport::Other(_) => 0,
        },
        outgoing,
    })
}

fn array<const N: usize>(bytes: &[u8], offset: usize) -> Option<[u8; N]> {
    bytes.get(offset..offset + N)?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(protocol: u8, fragment: u16) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend([0x08, 0x00, 0x45, 0, 0, 40, 0, 0]);
        frame.extend(fragment.to_be_bytes());
        frame.extend([64, protocol, 0, 0, 10, 244, 0, 2, 10, 96, 0, 1]);
        frame.extend(40_000_u16.to_be_bytes());
        frame.extend(80_u16.to_be_bytes());
        frame.extend([0; 16]);
        frame
    }

    #[test]
    fn a_tcp_packet_is_read_with_its_ports() {
        let mut reset = frame(6, 0);
        // The flags stand at 13 of 20 bytes.
        let flags = reset.len() - 7;
        reset[flags] = 0x04;
        let packet = parse(&reset, false).expect("IPv4");
        assert_eq!(packet.source, "10.244.0.2:40000".parse().expect("valid"));
        assert_eq!(packet.destination, "10.96.0.1:80".parse().expect("valid"));
        assert_eq!(packet.transport, Transport::Tcp);
        assert_eq!(packet.tcp_flags, 0x04);
    }

    #[test]
    fn a_later_fragment_and_another_protocol_have_no_ports() {
        for frame in [frame(17, 100), frame(1, 0)] {
            assert_eq!(parse(&frame, true).expect("IPv4").destination.port(), 0);
        }
    }

    #[test]
    fn short_frames_and_arp_are_no_packets() {
        assert_eq!(parse(&[], false), None);
        assert_eq!(parse(&frame(6, 0)[..30], false), None);
        let mut arp = frame(6, 0);
        arp[13] = 0x06;
        assert_eq!(parse(&arp, false), None);
    }
}
