//! Devices without a link header, as wireguard and ipip have none: real packets through a tun device.

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

/// The wire's end of a tun device of this namespace.
struct Tun(File);

impl Tun {
    fn new(name: &str) -> Self {
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
        request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_TUN | libc::IFF_NO_PI).unwrap();
        // SAFETY: the call reads name and flags inside `request`.
        let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF, &raw mut request) };
        assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
        Self(file)
    }

    /// A packet comes in from the wire.
    fn send(&mut self, frame: &[u8]) {
        self.0.write_all(&frame[ETHERNET..]).unwrap();
    }

    /// The next packet of TCP that goes out to the wire, as a frame without addresses.
    fn receive(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + Duration::from_secs(5);
        while Instant::now() < deadline {
            let mut packet = [0; 2_048];
            match self.0.read(&mut packet) {
                // Router solicitations and the like go by.
                Ok(length) if packet[0] >> 4 == 4 && packet[9] == TCP => {
                    return [vec![0; ETHERNET], packet[..length].to_vec()].concat();
                }
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => std::thread::yield_now(),
                Err(error) => panic!("{error}"),
            }
        }
        panic!("no packet of TCP went out");
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
    let mut wire = Tun::new("tun0");
    ip("addr add 10.9.0.1/24 dev tun0");
    ip("link set tun0 up");
    ip("route add 10.244.2.0/24 dev tun0");
    // The client is behind the tunnel too, on an address of its own.
    let client = (Ipv4Addr::new(10, 9, 0, 100), 40_000);
    let ifindex = nix::net::if_::if_nametoindex("tun0").unwrap();
    let tun = Device {
        name: "tun0".into(),
        ifindex,
        addresses: vec![TUNNEL.into()],
        has_default_route: false,
        up: true,
        kind: "tun".into(),
    };
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
