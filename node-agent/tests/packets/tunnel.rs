//! Devices without a link header, as wireguard and ipip have none: real packets through tun devices.

use crate::{
    packet::{ACK, Packet, SYN, endpoints},
    rig::{Backend, Frontend, NODE, NODE_PORT, Rig, SNAT, TCP},
};
use kpr_node_agent::devices::Device;
use std::{
    fs::{File, OpenOptions},
    io::{Read, Write},
    net::Ipv4Addr,
    os::{fd::AsRawFd, unix::fs::OpenOptionsExt},
    process::Command,
    time::{Duration, Instant},
};

const ETHERNET: usize = 14;
/// A pod of another node, behind the tunnel.
const FAR_POD: Ipv4Addr = Ipv4Addr::new(10, 244, 2, 5);
/// This node's own address on the tunnel.
const TUNNEL: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// The wire's end of a device of this namespace.
struct Wire {
    file: File,
    /// Bytes before the IP header.
    link_header: usize,
}

impl Wire {
    /// That of a tun device: without link headers.
    fn tun(name: &str) -> Self {
        Self::new(name, libc::IFF_TUN, 0)
    }

    /// That of a tap device: Ethernet.
    fn tap(name: &str) -> Self {
        Self::new(name, libc::IFF_TAP, ETHERNET)
    }

    fn new(name: &str, kind: i32, link_header: usize) -> Self {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open("/dev/net/tun")
            .unwrap();
        // SAFETY: integers and unions of integers: all zero is a value.
        let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
        for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
            *to = from.cast_signed();
        }
        request.ifr_ifru.ifru_flags = i16::try_from(kind | libc::IFF_NO_PI).unwrap();
        // SAFETY: the call reads name and flags inside `request`.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        Self { file, link_header }
    }

    /// A packet comes in from the wire.
    fn send(&mut self, frame: &[u8]) {
        self.file.write_all(&frame[ETHERNET - self.link_header..]).unwrap();
    }

    /// The next packet of TCP that goes out to the wire, as a frame; without addresses where the wire has none.
    fn receive(&mut self) -> Vec<u8> {
        // Router solicitations and the like go by.
        self.next(|frame| frame[ETHERNET] >> 4 == 4 && frame[ETHERNET + 9] == TCP)
    }

    fn next(&mut self, wanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            let mut packet = [0; 2_048];
            match self.file.read(&mut packet) {
                Ok(length) => {
                    let frame = [&[0; ETHERNET][self.link_header..], &packet[..length]].concat();
                    if wanted(&frame) {
                        return frame;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("nothing of what was expected went out");
    }

    /// Waits until the node asks for the Ethernet address of `neighbour`, and answers (RFC 826).
    fn resolve(&mut self, neighbour: Ipv4Addr, address: [u8; 6]) {
        const ARP: [u8; 2] = [0x08, 0x06];
        let target = neighbour.octets();
        let question = self.next(|frame| frame[12..14] == ARP && frame[38..42] == target);
        let node = &question[22..32];
        let head = [&node[..6], &address, &ARP, &[0, 1, 8, 0, 6, 4, 0, 2]].concat();
        self.send(&[&head[..], &address, &target, node].concat());
    }
}

fn device(name: &str, address: Ipv4Addr) -> Device {
    Device {
        name: name.into(),
        ifindex: nix::net::if_::if_nametoindex(name).unwrap(),
        addresses: vec![address.into()],
        has_default_route: false,
        up: true,
        kind: "tun".into(),
    }
}

fn ip(command: &str) {
    assert!(
        Command::new("ip").args(command.split(' ')).status().unwrap().success(),
        "ip {command}"
    );
}

#[test]
fn requests_and_replies_pass_a_device_without_a_link_header() {
    let mut node = Rig::new();
    let mut wire = Wire::tun("tun0");
    ip("addr add 10.9.0.1/24 dev tun0");
    ip("link set tun0 up");
    ip("route add 10.244.2.0/24 dev tun0");
    // The client is behind the tunnel too, on an address of its own.
    let client = (Ipv4Addr::new(10, 9, 0, 100), 40_000);
    let tun = device("tun0", TUNNEL);
    let ifindex = tun.ifindex;
    node.datapath().attach(&[tun], &[]).unwrap();
    node.datapath().v4_mut().set_local(&[(TUNNEL, ifindex)], &[]).unwrap();
    node.datapath()
        .v4_mut()
        .set_snat_source(Some(NODE), &[(ifindex, TUNNEL)])
        .unwrap();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(FAR_POD)]);
    let attached = node.datapath().report().attachments;
    assert!(
        attached
            .iter()
            .any(|a| a.program == "kpr_ingress_l3" && a.target == "tun0"),
        "{attached:?}"
    );

    let asked = (TUNNEL, NODE_PORT);
    let request = Packet::tcp(SYN, client, asked);
    wire.send(&request.bytes());
    let sent = wire.receive();
    let (src, dst) = endpoints(&sent);
    assert_eq!((src.0, dst), (TUNNEL, (FAR_POD, 80)));
    assert!((SNAT.min..=SNAT.max).contains(&src.1));
    assert_eq!(sent[ETHERNET..], request.from(src).to(dst).ttl(63).bytes()[ETHERNET..]);

    let answer = Packet::tcp(SYN | ACK, dst, src);
    wire.send(&answer.bytes());
    assert_eq!(
        wire.receive()[ETHERNET..],
        answer.from(asked).to(client).ttl(63).bytes()[ETHERNET..]
    );
}

#[test]
fn what_comes_in_without_a_link_header_waits_for_an_ethernet_neighbour_that_is_not_known_yet() {
    let (gateway, on_ethernet) = (Ipv4Addr::new(10, 8, 0, 2), Ipv4Addr::new(10, 8, 0, 1));
    let mut node = Rig::new();
    let (mut far, mut near) = (Wire::tun("tun0"), Wire::tap("tap0"));
    ip("addr add 10.9.0.1/24 dev tun0");
    ip("link set tun0 up");
    ip("addr add 10.8.0.1/24 dev tap0");
    ip("link set tap0 up");
    ip("route add 10.244.2.0/24 via 10.8.0.2");
    let devices = [device("tun0", TUNNEL), device("tap0", on_ethernet)];
    let [tun, tap] = [devices[0].ifindex, devices[1].ifindex];
    node.datapath().attach(&devices, &[]).unwrap();
    let tables = node.datapath().v4_mut();
    tables.set_local(&[(TUNNEL, tun), (on_ethernet, tap)], &[]).unwrap();
    tables
        .set_snat_source(Some(NODE), &[(tun, TUNNEL), (tap, on_ethernet)])
        .unwrap();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(FAR_POD)]);

    let client = (Ipv4Addr::new(10, 9, 0, 100), 40_000);
    let asked = (TUNNEL, NODE_PORT);
    let request = Packet::tcp(SYN, client, asked);
    far.send(&request.bytes());
    let address = [0x02, 0, 0, 0, 0, 0x77];
    near.resolve(gateway, address);
    let sent = near.receive();
    let (src, dst) = endpoints(&sent);
    assert_eq!((src.0, dst), (on_ethernet, (FAR_POD, 80)));
    assert_eq!(sent[..6], address, "the very packet that had to wait");
    assert_eq!(sent[ETHERNET..], request.from(src).to(dst).ttl(63).bytes()[ETHERNET..]);

    // And back, from Ethernet to a device without link headers.
    let answer = Packet::tcp(SYN | ACK, dst, src);
    let mut frame = answer.bytes();
    frame[..6].copy_from_slice(&sent[6..12]);
    near.send(&frame);
    assert_eq!(
        far.receive()[ETHERNET..],
        answer.from(asked).to(client).ttl(63).bytes()[ETHERNET..]
    );
}
