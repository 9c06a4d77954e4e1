//! Direct server return of IPv6.

use crate::{
    dsr::{DISPATCHES, ETHERNET, between, big_endian},
    packet6::{Head, Packet6, error, pseudo_checksum},
    rig::{CLIENT6, LOCAL_POD6, NODE_PORT, NODE6, REMOTE_POD6, Rig, TCP, settings},
};
use kpr_abi::{Reason, backend::flags};
use kpr_node_agent::datapath::{Dsr, DsrDispatch, Settings, Verdict};
use std::net::Ipv6Addr;

const SYN: Head = Head::Tcp { flags: 0x02 };
const SYN_ACK: Head = Head::Tcp { flags: 0x12 };
const ACK: Head = Head::Tcp { flags: 0x10 };
const CLIENT_SIDE: (Ipv6Addr, u16) = (CLIENT6, 40_000);
const ASKED: (Ipv6Addr, u16) = (NODE6, NODE_PORT);
const OTHER: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x49, 0, 0, 0, 0, 0, 3);
const ASKED_THERE: (Ipv6Addr, u16) = (OTHER, NODE_PORT);

fn dsr(dsr_dispatch: DsrDispatch) -> Settings {
    Settings {
        dsr: Dsr::All,
        dsr_dispatch,
        ..settings()
    }
}

/// A packet inside of another one, with what the program chooses of the outer one: the flow label, and the source port.
fn encapsulated(dispatch: DsrDispatch, src: Ipv6Addr, dst: Ipv6Addr, chosen: ([u8; 3], u16), inner: &[u8]) -> Vec<u8> {
    let packet = &inner[ETHERNET..];
    let ([label @ .., last], port) = chosen;
    let between = between(dispatch, port, packet.len(), [0x86, 0xdd]);
    let next = match dispatch {
        DsrDispatch::Ipip => 41,
        DsrDispatch::Geneve => 17,
    };
    let mut ip = vec![0x60, label[0], label[1], last];
    ip.extend(big_endian(between.len() + packet.len()));
    ip.extend([next, 64]);
    ip.extend(src.octets());
    ip.extend(dst.octets());
    [&inner[..ETHERNET], &ip, &between, packet].concat()
}

fn chosen(frame: &[u8]) -> ([u8; 3], u16) {
    (
        [frame[15], frame[16], frame[17]],
        u16::from_be_bytes([frame[54], frame[55]]),
    )
}

#[test]
fn a_flow_to_another_node_is_encapsulated_as_the_client_sent_it() {
    for dispatch in DISPATCHES {
        let mut node = Rig::with(&dsr(dispatch));
        node.serve6_by(TCP, REMOTE_POD6, flags::DSR);
        let mut labels = Vec::new();
        for head in [SYN, ACK] {
            let packet = Packet6::new(head, CLIENT_SIDE, ASKED);
            let seen = node.ingress(&packet.bytes());
            assert_eq!(seen.verdict, Verdict::Redirect, "{dispatch:?}");
            let inside = packet.hops(63).bytes();
            let expected = encapsulated(dispatch, NODE6, REMOTE_POD6, chosen(&seen.packet), &inside);
            assert_eq!(seen.packet, expected, "{dispatch:?}");
            labels.push(chosen(&seen.packet).0);
        }
        assert_eq!(labels[0], labels[1]);
        assert_eq!(labels[0][0] & 0xf0, 0, "the label's twenty bits, and no class");
        assert_eq!(node.count(Reason::FlowToRemoteDsr), 1);
    }
}

#[test]
fn an_encapsulated_packet_reaches_the_backend_and_the_client_gets_the_answer_from_whom_it_asked() {
    for dispatch in DISPATCHES {
        let mut node = Rig::with(&dsr(dispatch));
        node.serve6(TCP, LOCAL_POD6, true);
        for head in [SYN, ACK] {
            let packet = Packet6::new(head, CLIENT_SIDE, ASKED_THERE).hops(63);
            let sent = encapsulated(dispatch, OTHER, LOCAL_POD6, ([0; 3], 1), &packet.bytes());
            let seen = node.ingress(&sent);
            assert_eq!(
                (seen.verdict, seen.packet),
                (Verdict::Next, packet.to((LOCAL_POD6, 80)).bytes()),
                "{dispatch:?}"
            );
            if head == SYN {
                let answer = Packet6::new(SYN_ACK, (LOCAL_POD6, 80), CLIENT_SIDE);
                let seen = node.egress(&answer.bytes());
                assert_eq!(seen.packet, answer.from(ASKED_THERE).bytes(), "{dispatch:?}");
            }
        }
    }
}

#[test]
fn what_this_node_can_not_serve_goes_back_and_gets_snat_there() {
    for dispatch in DISPATCHES {
        let mut node = Rig::with(&dsr(dispatch));
        node.serve6(TCP, LOCAL_POD6, true);
        let packet = Packet6::new(
            SYN,
            (Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, 9), 40_000),
            ASKED_THERE,
        );
        let sent = encapsulated(dispatch, OTHER, LOCAL_POD6, ([0; 3], 1), &packet.bytes());
        let back = encapsulated(dispatch, LOCAL_POD6, OTHER, ([0; 3], 1), &packet.bytes());
        let seen = node.ingress(&sent);
        assert_eq!((seen.verdict, seen.packet), (Verdict::Redirect, back), "{dispatch:?}");

        let mut node = Rig::with(&dsr(dispatch));
        node.serve6_by(TCP, REMOTE_POD6, flags::DSR);
        let packet = Packet6::new(SYN, CLIENT_SIDE, ASKED);
        node.ingress(&packet.bytes());
        let inside = packet.hops(63);
        let back = encapsulated(dispatch, REMOTE_POD6, NODE6, ([0; 3], 1), &inside.bytes());
        let seen = node.ingress(&back);
        assert_eq!(seen.verdict, Verdict::Redirect, "{dispatch:?}");
        let (src, dst) = crate::packet6::endpoints(&seen.packet);
        assert_eq!((src.0, dst), (NODE6, (REMOTE_POD6, 80)), "{dispatch:?}");
        assert_eq!(seen.packet, inside.from(src).to(dst).hops(62).bytes(), "{dispatch:?}");
    }
}

#[test]
fn what_is_nobodys_passes_untouched() {
    let inside = Packet6::new(SYN, CLIENT_SIDE, ASKED_THERE).bytes();
    for (name, mode, dispatch, cut) in [
        ("Geneve, without DSR", Dsr::Off, DsrDispatch::Geneve, inside.len()),
        ("IP in IP, without DSR", Dsr::Off, DsrDispatch::Ipip, inside.len()),
        ("half an IP header inside", Dsr::All, DsrDispatch::Geneve, ETHERNET + 20),
        ("half a TCP header inside", Dsr::All, DsrDispatch::Ipip, ETHERNET + 50),
    ] {
        let mut node = Rig::with(&Settings {
            dsr: mode,
            ..dsr(dispatch)
        });
        node.serve6(TCP, LOCAL_POD6, true);
        let frame = encapsulated(dispatch, OTHER, LOCAL_POD6, ([0; 3], 1), &inside[..cut]);
        let seen = node.ingress(&frame);
        assert_eq!((seen.verdict, seen.packet == frame), (Verdict::Next, true), "{name}");
    }
}

#[test]
fn what_is_too_big_to_be_encapsulated_is_told_the_client() {
    for (dispatch, largest) in [(DsrDispatch::Geneve, 1_444_usize), (DsrDispatch::Ipip, 1_460)] {
        let mut node = Rig::with(&dsr(dispatch));
        node.serve6_by(TCP, REMOTE_POD6, flags::DSR);
        node.ingress(&Packet6::new(SYN, CLIENT_SIDE, ASKED).bytes());
        let frame = |network: Vec<u8>| {
            let mut frame = Packet6::new(ACK, CLIENT_SIDE, ASKED).bytes()[..ETHERNET].to_vec();
            frame.extend(network);
            frame
        };
        let mut long = Packet6::new(ACK, CLIENT_SIDE, ASKED).network();
        let fit = |long: &mut Vec<u8>, length: usize| {
            long.resize(length, b'x');
            let payload = u16::try_from(length - 40).unwrap().to_be_bytes();
            long[4..6].copy_from_slice(&payload);
            frame(long.clone())
        };
        let seen = node.ingress(&fit(&mut long, largest));
        assert_eq!(seen.packet.len(), ETHERNET + 1_500, "{dispatch:?}");
        let too_big = fit(&mut long, largest + 1);
        let seen = node.ingress(&too_big);
        assert_eq!(seen.verdict, Verdict::Redirect, "{dispatch:?}");
        let told = &seen.packet[ETHERNET..];
        assert_eq!(told.len(), 40 + 8 + 512);
        assert_eq!(told[..8], [0x60, 0, 0, 0, 2, 8, 58, 64]);
        assert_eq!(told[8..24], NODE6.octets(), "whom the client asked");
        assert_eq!(told[24..40], CLIENT6.octets());
        assert_eq!(told[40..42], [2, 0], "packet too big");
        assert_eq!(pseudo_checksum(NODE6, CLIENT6, 58, &told[40..]), 0);
        let mtu = u32::from_be_bytes(told[44..48].try_into().unwrap());
        assert_eq!(mtu as usize, largest, "{dispatch:?}");
        assert_eq!(told[48..], too_big[ETHERNET..][..512]);
        assert_eq!(node.count(Reason::DropTooBig), 1);
    }
}

#[test]
fn an_error_about_an_answer_reaches_the_backend_by_the_node_that_was_asked() {
    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 1);
    let report = |asked: (Ipv6Addr, u16), hops| {
        let quoted = Packet6::new(ACK, asked, CLIENT_SIDE).network();
        error(2, ROUTER, asked.0, hops, &quoted)
    };
    for dispatch in DISPATCHES {
        let mut node = Rig::with(&dsr(dispatch));
        node.serve6_by(TCP, REMOTE_POD6, flags::DSR);
        node.ingress(&Packet6::new(SYN, CLIENT_SIDE, ASKED).bytes());
        let seen = node.ingress(&report(ASKED, 64));
        let expected = encapsulated(dispatch, NODE6, REMOTE_POD6, chosen(&seen.packet), &report(ASKED, 63));
        assert_eq!(
            (seen.verdict, seen.packet),
            (Verdict::Redirect, expected),
            "{dispatch:?}"
        );

        let mut node = Rig::with(&dsr(dispatch));
        node.serve6(TCP, LOCAL_POD6, true);
        let first = Packet6::new(SYN, CLIENT_SIDE, ASKED_THERE).bytes();
        node.ingress(&encapsulated(dispatch, OTHER, LOCAL_POD6, ([0; 3], 1), &first));
        let sent = report(ASKED_THERE, 64);
        let seen = node.ingress(&encapsulated(dispatch, OTHER, LOCAL_POD6, ([0; 3], 1), &sent));
        assert_eq!(seen.verdict, Verdict::Next, "{dispatch:?}");
        assert_eq!(seen.packet[38..54], LOCAL_POD6.octets(), "{dispatch:?}: to the pod");
        let quoted = &seen.packet[ETHERNET + 48..];
        assert_eq!(quoted[8..24], LOCAL_POD6.octets(), "{dispatch:?}: about what it sent");
        assert_eq!(quoted[40..42], 80_u16.to_be_bytes(), "{dispatch:?}");
        let icmp = &seen.packet[ETHERNET + 40..];
        // The checksum inside of the quotation is left, as by netfilter; the error's own is right.
        assert_eq!(pseudo_checksum(ROUTER, LOCAL_POD6, 58, icmp), 0, "{dispatch:?}");
    }
}
