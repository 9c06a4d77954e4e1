//! Whole pages, as people see them.

use jiff::{SignedDuration, Timestamp};

use super::{brief, verbose, verdict};
use crate::{
    cli::{Exit, style::plain},
    observe::{
        TaskStatus,
        api::{
            Attachment, Cluster, ClusterNode, Counter, Details, Device, Feature, Kernel, Kubernetes, Map, Phase,
            Policy, STATUS_VERSION, ServiceKind, Services, SnatUse, Status, Sweep, SweptTable,
        },
    },
};

fn now() -> Timestamp {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

fn before(seconds: i64) -> Timestamp {
    now() - SignedDuration::from_secs(seconds)
}

/// A node that serves.
pub(crate) fn well() -> Status {
    let task = |name: &str, ago: i64| TaskStatus {
        name: name.into(),
        last_success: Some(before(ago)),
        message: "no error".into(),
        ..TaskStatus::default()
    };
    let kind = |name: &str, feature| ServiceKind {
        name: name.into(),
        feature,
    };
    let map = |name: &str, size, used| Map {
        name: name.into(),
        size,
        used,
    };
    let counter = |reason: &str, count| Counter {
        reason: reason.into(),
        count,
    };
    Status {
        api_version: STATUS_VERSION.into(),
        node: "minikube".into(),
        agent_version: "0.1.0".into(),
        started: before(200),
        now: now(),
        kubernetes: Kubernetes {
            server: "https://192.168.49.2:8443/".into(),
            reachable: true,
            version: Some("v1.36.2".into()),
            platform: Some("linux/amd64".into()),
            since: Some(before(199)),
            message: None,
            apis: vec!["core/v1::Node".into(), "core/v1::Service".into()],
        },
        policy: Some(Policy {
            name: "default".into(),
            generation: 1,
            mode: "Strict".into(),
        }),
        phase: Phase::Active,
        message: None,
        services: Services {
            synced: true,
            services: 4,
            frontends: 6,
            backends: 5,
            ..Services::default()
        },
        problems: Vec::new(),
        devices: vec![Device {
            name: "eth0".into(),
            addresses: vec!["192.168.49.2".parse().unwrap()],
            direct_routing: true,
        }],
        details: Some(Details {
            protocols: vec!["TCP".into(), "UDP".into(), "SCTP".into()],
            ip_families: vec!["IPv4".into(), "IPv6".into()],
            forwarding: "SNAT".into(),
            dsr_dispatch: None,
            backend_selection: "Random".into(),
            socket_lb: Feature::on(),
            pod_devices: Feature::on_with("3: source ranges"),
            session_affinity: Feature::off("not in this version"),
            xdp_acceleration: Feature::off("not asked for"),
            services: vec![
                kind("ClusterIP", Feature::on()),
                kind("NodePort", Feature::on_with("Range: 30000-32767")),
                kind("HostPort", Feature::on()),
            ],
            map_sizing: "on (ratio: 0.002500)".into(),
        }),
        attachments: vec![Attachment {
            program: "connect4".into(),
            hook: "cgroup".into(),
            target: "/sys/fs/cgroup".into(),
        }],
        kernel: Kernel {
            release: "6.12.0".into(),
            features: vec!["tc attachment: tcx links".into()],
        },
        maps: vec![
            map("IPv4 service", 65536, Some(6)),
            map("IPv4 sock reverse NAT", 65536, None),
        ],
        counters: vec![
            counter("socket_translated", 1000),
            counter("drop_no_endpoint", 3),
            counter("drop_ttl", 0),
        ],
        leftovers: Some("removed: 9 chains of iptables-nft (nat, IPv4)".into()),
        sweep: Some(sweep()),
        map_writes: 17,
        repairs: 0,
        tasks: vec![task("k8s-heartbeat", 7), task("sync-lb-maps", 190)],
        cluster: Some(cluster()),
    }
}

/// Two nodes, of which one does not answer.
fn cluster() -> Cluster {
    let node = |name: &str, last: u8| ClusterNode {
        name: name.into(),
        address: [192, 168, 49, last].into(),
        own: false,
        reachable: true,
        serves: true,
        took_us: Some(412),
        message: None,
    };
    Cluster {
        at: before(5),
        known: 2,
        nodes: vec![
            ClusterNode {
                own: true,
                ..node("minikube", 2)
            },
            ClusterNode {
                reachable: false,
                serves: false,
                took_us: None,
                message: Some("no answer within 3 s".into()),
                ..node("minikube-m02", 3)
            },
        ],
    }
}

fn sweep() -> Sweep {
    Sweep {
        at: before(3),
        took_ms: 2,
        interval_seconds: 45,
        tables: vec![
            SweptTable {
                family: "IPv4".into(),
                live: 1200,
                expired: 34,
                fullest: Some(SnatUse {
                    backend: "10.244.1.2:80/TCP".into(),
                    ports: 250,
                }),
            },
            SweptTable {
                family: "IPv6".into(),
                live: 0,
                expired: 0,
                fullest: None,
            },
        ],
    }
}

#[test]
fn the_page_begins_as_the_reference_does() {
    let expected = r#"Kubernetes:             Ok   1.36 (v1.36.2) [linux/amd64]
Kubernetes APIs:        ["core/v1::Node", "core/v1::Service"]
KubeProxyReplacement:   Strict   [eth0 192.168.49.2 (Direct Routing)]
kpr:                    Ok   0.1.0 (started 3m20s ago)
Services:               Ok   4 services, 6 frontends, 5 backends programmed
Controller Status:      2/2 healthy
Cluster health:         1/2 reachable   (2026-01-02T03:04:00Z)
"#;
    assert_eq!(plain(&brief::render(&well())), expected);
    assert_eq!(verdict(&well()), Exit::Ok);
}

#[test]
fn the_verbose_page_has_every_section_of_the_reference() {
    let expected = r"Controller Status:      2/2 healthy
  Name            Last success   Last error   Count   Message
  k8s-heartbeat   7s ago         never        0       no error
  sync-lb-maps    3m10s ago      never        0       no error
KubeProxyReplacement Details:
  Status:              Strict
  Socket LB:           Enabled
  Pod Devices:         Enabled (3: source ranges)
  Protocols:           TCP, UDP, SCTP
  IP Families:         IPv4, IPv6
  Devices:             eth0 192.168.49.2 (Direct Routing)
  Mode:                SNAT
  Backend Selection:   Random
  Session Affinity:    Disabled (not in this version)
  XDP Acceleration:    Disabled (not asked for)
  Services:
  - ClusterIP:      Enabled
  - NodePort:       Enabled (Range: 30000-32767)
  - HostPort:       Enabled
kube-proxy's leftovers:   removed: 9 chains of iptables-nft (nat, IPv4)
Kernel:                 6.12.0
  tc attachment: tcx links
  Program    Hook     Target
  connect4   cgroup   /sys/fs/cgroup
BPF Maps:   dynamic sizing: on (ratio: 0.002500)
  Name                    Size    Used
  IPv4 service            65536   6
  IPv4 sock reverse NAT   65536   unknown
  Map writes since the agent's start: 17
Connection tracking:   swept 3s ago in 2 ms, every 45 s now
  Family   Live   Expired   Most SNAT ports in use
  IPv4     1200   34        250 towards 10.244.1.2:80/TCP
  IPv6     0      0         none
Drops:
  Reason             Count
  drop_no_endpoint   3
Traffic:
  Reason              Count
  socket_translated   1000
Cluster health:         1/2 reachable   (2026-01-02T03:04:00Z)
  Name                   IP             Node                                Services   Round trip
  minikube (localhost)   192.168.49.2   reachable                           served     0.412 ms
  minikube-m02           192.168.49.3   unreachable: no answer within 3 s   unknown    -
";
    let page = plain(&verbose::render(&well()));
    let from = page.find("Controller Status:").unwrap();
    assert_eq!(&page[from..], expected);
}

#[test]
fn a_node_without_an_api_server_goes_on_and_says_so() {
    let status = Status {
        kubernetes: Kubernetes {
            reachable: false,
            since: Some(before(20)),
            message: Some("connection refused".into()),
            ..well().kubernetes
        },
        ..well()
    };
    let page = plain(&brief::render(&status));
    let line = page.lines().next().unwrap();
    assert_eq!(
        line,
        "Kubernetes:             Away   https://192.168.49.2:8443/ since 20s: connection refused"
    );
    assert_eq!(verdict(&status), Exit::Ok, "what is programmed is served");
}

#[test]
fn a_node_that_does_not_serve_as_it_should_says_why() {
    let line = |status: &Status, label: &str| {
        let page = plain(&brief::render(status));
        let line = page.lines().find(|line| line.starts_with(label)).unwrap();
        line[24..].to_owned()
    };
    let waiting = Status {
        phase: Phase::Waiting,
        policy: None,
        details: None,
        ..well()
    };
    assert_eq!(
        line(&waiting, "KubeProxyReplacement"),
        "Waiting   the operator has not written NodeDatapath \"minikube\" yet"
    );
    let failing = Status {
        message: Some("no network device matches \"ens9\"".into()),
        services: Services {
            pending: 2,
            ..well().services
        },
        ..well()
    };
    assert_eq!(
        line(&failing, "kpr:"),
        "Degraded   0.1.0 (started 3m20s ago): no network device matches \"ens9\""
    );
    assert_eq!(
        line(&failing, "Services"),
        "Failing   4 services, 6 frontends, 5 backends programmed, 2 services wait to be tried again"
    );
    for status in [waiting, failing] {
        assert_eq!(verdict(&status), Exit::Unhealthy);
    }
}

#[test]
fn a_status_survives_its_way_over_the_socket() {
    let json = serde_json::to_string(&well()).unwrap();
    assert_eq!(serde_json::from_str::<Status>(&json).unwrap(), well());
}
