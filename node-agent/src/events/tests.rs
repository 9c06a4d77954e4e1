//! Who is sent what.

use std::sync::Arc;

use kpr_abi::{Be16, Event, Reason, event::hook};
use serde_json::json;

use super::{Filter, Hub, Line, Listening, Names, Told};

fn event(reason: Reason, client: [u8; 4]) -> Event {
    Event {
        what: reason as u32,
        hook: hook::INGRESS,
        family: 4,
        proto: 6,
        client: [u32::from_ne_bytes(client), 0, 0, 0],
        client_port: Be16::new(40_000),
        frontend: [u32::from_ne_bytes([10, 96, 0, 10]), 0, 0, 0],
        frontend_port: Be16::new(53),
        backend: [u32::from_ne_bytes([10, 244, 1, 2]), 0, 0, 0],
        backend_port: Be16::new(5353),
        backend_id: 1,
        sample: 1,
        ..Event::default()
    }
}

fn begun() -> Event {
    event(Reason::FlowToRemote, [192, 168, 49, 100])
}

fn listening(filter: Filter) -> (Arc<Hub>, Listening) {
    let hub = Arc::new(Hub::default());
    let listening = hub.listen(filter).unwrap();
    (hub, listening)
}

async fn told(hub: &Hub, listening: &mut Listening) -> Vec<Line> {
    // Ends the lines, behind all others.
    hub.fail("over");
    let mut lines = Vec::new();
    while let Some(line) = listening.next().await {
        lines.push(line);
    }
    lines.retain(|line| !matches!(line, Line::Failed { .. }));
    lines
}

#[test]
fn a_filter_takes_what_is_all_that_it_asks_for() {
    let names = Names::with(([10, 96, 0, 10].into(), 53, 6), "kube-system/kube-dns:dns-tcp");
    for (what, filter, takes) in [
        ("everything", json!({}), true),
        ("a client's address", json!({"client": "192.168.49.100"}), true),
        ("a range of clients", json!({"client": "192.168.49.0/24"}), true),
        ("another client", json!({"client": "192.168.49.101"}), false),
        ("an address and a port", json!({"frontend": "10.96.0.10:53"}), true),
        ("a port alone", json!({"frontend": ":53"}), true),
        ("another port", json!({"frontend": "10.96.0.10:54"}), false),
        ("a backend", json!({"backend": "10.244.1.2:5353"}), true),
        ("another family", json!({"backend": "[fd00::1]:5353"}), false),
        ("a Service", json!({"service": "kube-system/kube-dns"}), true),
        (
            "a Service's port",
            json!({"service": "kube-system/kube-dns:dns-tcp"}),
            true,
        ),
        (
            "a Service that begins alike",
            json!({"service": "kube-system/kube"}),
            false,
        ),
        ("a protocol", json!({"protocol": "tcp"}), true),
        ("another protocol", json!({"protocol": "UDP"}), false),
        ("a reason", json!({"reasons": ["flow_to_remote"]}), true),
        ("another reason", json!({"reasons": ["drop_ttl"]}), false),
        ("drops", json!({"drops": true}), false),
        (
            "two things of which one is so",
            json!({"client": ":40000", "frontend": ":80"}),
            false,
        ),
    ] {
        let filter: Filter = serde_json::from_value(filter).unwrap();
        assert_eq!(filter.takes(filter.mask().unwrap(), &begun(), &names), takes, "{what}");
    }
    let unknown: Filter = serde_json::from_value(json!({"reasons": ["drop_everything"]})).unwrap();
    assert!(unknown.mask().unwrap_err().contains("drop_ttl"), "the others are named");
}

#[test]
fn a_filter_goes_over_the_local_api_as_it_was() {
    for place in ["10.0.0.0/8", "10.96.0.10:53", ":53", "[fd00::1]:53", "fd00::/8"] {
        let filter = Filter {
            frontend: Some(place.parse().unwrap()),
            sample: 3,
            ..Filter::default()
        };
        let text = serde_json::to_string(&filter).unwrap();
        assert_eq!(serde_json::from_str::<Filter>(&text).unwrap(), filter, "{text}");
    }
    for wrong in ["", "web", "10.0.0.1:web", "10.0.0.0/33", "web:80"] {
        assert!(wrong.parse::<super::Place>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn a_listener_is_sent_what_it_asked_for_and_hears_of_what_it_was_too_slow_for() {
    let (hub, mut listening) = listening(Filter {
        drops: true,
        ..Filter::default()
    });
    hub.pass(&begun());
    for _ in 0..5_000 {
        hub.pass(&event(Reason::DropSourceRange, [192, 0, 2, 1]));
    }
    hub.lose(7);
    let first = listening.next().await.unwrap();
    let Line::Event(first) = first else { panic!("{first:?}") };
    assert_eq!(
        (first.reason.as_str(), first.hook.as_str()),
        ("drop_source_range", "ingress")
    );
    // There is room for it now.
    hub.lose(0);
    let lines = told(&hub, &mut listening).await;
    let events = 1 + lines.iter().filter(|line| matches!(line, Line::Event(_))).count() as u64;
    let Some(Line::Lost { datapath, listener }) = lines.last() else {
        panic!("{:?}", lines.last())
    };
    assert_eq!((*datapath, events + listener), (7, 5_000), "each was told or counted");
}

#[tokio::test]
async fn each_listener_has_a_sample_of_its_own_and_the_programs_the_finest() {
    let (hub, mut coarse) = listening(Filter {
        sample: 10,
        ..Filter::default()
    });
    assert_eq!(hub.wanted().borrow().sample, 10);
    // One in ten was told by the programs.
    for _ in 0..5 {
        hub.pass(&Event { sample: 10, ..begun() });
    }
    let fine = hub
        .listen(Filter {
            sample: 1,
            ..Filter::default()
        })
        .unwrap();
    assert_eq!(hub.wanted().borrow().sample, 1);
    for _ in 0..50 {
        hub.pass(&begun());
    }
    drop(fine);
    assert_eq!(hub.wanted().borrow().sample, 10);
    assert_eq!(told(&hub, &mut coarse).await.len(), 10, "a hundred happened");
    drop(coarse);
    assert!(!hub.is_wanted());
}

#[test]
fn nothing_is_wanted_but_what_listeners_ask_for() {
    let hub = Arc::new(Hub::default());
    assert!(!hub.is_wanted());
    let asks = |reason: Reason| Filter {
        reasons: vec![reason.name().into()],
        ..Filter::default()
    };
    let (a, b) = (
        hub.listen(asks(Reason::DropTtl)).unwrap(),
        hub.listen(asks(Reason::XdpForwarded)).unwrap(),
    );
    let bits = |reasons: &[Reason]| reasons.iter().map(|&reason| 1_u64 << reason as u32).sum::<u64>();
    assert_eq!(
        hub.wanted().borrow().reasons,
        bits(&[Reason::DropTtl, Reason::XdpForwarded])
    );
    drop(b);
    assert_eq!(hub.wanted().borrow().reasons, bits(&[Reason::DropTtl]));
    drop(a);
    assert_eq!(*hub.wanted().borrow(), kpr_abi::event::Wanted::default());
}

#[test]
fn a_source_is_shown_where_the_backend_sees_an_address_that_is_not_the_clients() {
    let own = Event {
        source: begun().client,
        source_port: begun().client_port,
        ..begun()
    };
    let names = Names::default();
    assert_eq!(Told::of(&own, &names).source, None);
    let other = Event {
        source_port: Be16::new(45_000),
        ..own
    };
    assert_eq!(
        Told::of(&other, &names).source,
        Some("192.168.49.100:45000".parse().unwrap())
    );
}
