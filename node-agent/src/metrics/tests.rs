//! The page, as Prometheus reads it.

use std::{
    collections::BTreeSet,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use http::StatusCode;
use jiff::Timestamp;
use kpr_abi::{Reason, ServiceCount};
use tokio::{sync::watch, time::Instant};

use super::{Changed, Latency, Metrics, Probe, Probes, Syncs};
use crate::{
    agent::{Applied, CountedPort, CountedPorts, Progress, Snapshot},
    cli::golden,
    datapath::{CountedFrontends, Report, RunTime},
    model::{NamespacedName, Protocol, ServicePortName},
    observe::{Health, Source, api::Status},
    plan::WithoutLocal,
};

/// An agent that is always the same.
struct Well;

impl Source for Well {
    fn status(&self, _: Timestamp) -> Status {
        golden::well()
    }

    fn health(&self, _: Timestamp) -> Health {
        unreachable!("no metric asks for it")
    }
}

const CLUSTER_IP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 96, 1, 1)), 80);
const NODE_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 30_086);

/// What programs have counted; also of a frontend that is no Service's any more.
fn counts() -> CountedFrontends {
    let sockets = ServiceCount {
        sockets: 7,
        ..ServiceCount::default()
    };
    let flows = ServiceCount {
        flows: 2,
        request_packets: 10,
        request_bytes: 1_000,
        reply_packets: 20,
        reply_bytes: 30_000,
        ..ServiceCount::default()
    };
    [(CLUSTER_IP, sockets), (NODE_PORT, flows)]
        .into_iter()
        .chain([(SocketAddr::new(CLUSTER_IP.ip(), 81), flows)])
        .map(|(frontend, count)| ((frontend, Protocol::Tcp), count))
        .collect()
}

/// The page of an agent that serves, has programmed once and was probed twice.
fn page() -> String {
    let (syncs, probes) = (Syncs::default(), Probes::default());
    syncs.took("IPv4", Duration::from_millis(3));
    for (kind, took) in [
        (Latency::Network, 700),
        (Latency::Watch, 699),
        (Latency::Programming, 1),
    ] {
        syncs.programmed(kind, "IPv4", Duration::from_millis(took));
    }
    syncs.heard(Changed::Service, 3);
    syncs.heard(Changed::Endpoints, 5);
    syncs.caught_up();
    syncs.heard(Changed::Endpoints, 2);
    probes.answered(Probe::Healthz, StatusCode::OK);
    probes.answered(Probe::Healthz, StatusCode::SERVICE_UNAVAILABLE);
    probes.answered(Probe::Livez, StatusCode::OK);
    let (_, snapshots) = watch::channel(Arc::new(Snapshot {
        write_failures: 2,
        applied: Some(Applied {
            generation: 1,
            spec: Arc::default(),
        }),
        families: vec![Progress {
            family: "IPv4",
            updated: Some(Instant::now()),
            pending_since: None,
            without_local: WithoutLocal {
                internal: 1,
                external: 2,
            },
        }],
        report: Report {
            run_times: vec![RunTime {
                program: "kpr_ingress".to_owned(),
                time: Duration::from_millis(1_500),
                runs: 10_000,
            }],
            ..Report::default()
        },
        counted: Some(Arc::new(CountedPorts {
            ports: vec![CountedPort {
                name: ServicePortName {
                    service: NamespacedName::new("default", "web"),
                    port: "http".into(),
                },
                protocol: Protocol::Tcp,
                frontends: vec![CLUSTER_IP, NODE_PORT],
            }],
            left_out: 3,
        })),
        ..Snapshot::default()
    }));
    Metrics::new(Arc::new(Well), snapshots, &syncs, &probes, Box::new(|| Ok(counts()))).text()
}

/// The value of one line.
fn value(page: &str, series: &str) -> f64 {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no {series} in\n{page}"));
    line.parse().unwrap_or_else(|_| panic!("{series} is {line}"))
}

#[test]
fn what_the_status_says_is_a_number() {
    let page = page();
    for (series, expected) in [
        (r#"kpr_build_info{version="0.1.0"}"#, 1.0),
        (r#"kpr_phase{phase="Active"}"#, 1.0),
        (r#"kpr_phase{phase="Failed"}"#, 0.0),
        ("kpr_api_server_reachable", 1.0),
        ("kpr_map_write_failures_total", 2.0),
        (r#"kpr_programming_pending_seconds{ip_family="IPv4"}"#, 0.0),
        ("kpr_snat_ports", 20_536.0),
        (r#"kpr_cluster_agents{answer="serves"}"#, 1.0),
        (r#"kpr_cluster_agents{answer="reachable"}"#, 0.0),
        (r#"kpr_cluster_agents{answer="unreachable"}"#, 1.0),
        (r#"kpr_program_run_time_seconds_total{program="kpr_ingress"}"#, 1.5),
        (r#"kpr_program_runs_total{program="kpr_ingress"}"#, 10_000.0),
        ("kubeproxy_sync_proxy_rules_service_changes_total", 3.0),
        ("kubeproxy_sync_proxy_rules_service_changes_pending", 0.0),
        ("kubeproxy_sync_proxy_rules_endpoint_changes_total", 7.0),
        ("kubeproxy_sync_proxy_rules_endpoint_changes_pending", 2.0),
        (
            r#"kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="internal"}"#,
            1.0,
        ),
        (
            r#"kubeproxy_sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="external"}"#,
            2.0,
        ),
        (r#"kubeproxy_proxy_healthz_total{code="200"}"#, 1.0),
        (r#"kubeproxy_proxy_healthz_total{code="503"}"#, 1.0),
        (r#"kubeproxy_proxy_livez_total{code="200"}"#, 1.0),
        (
            r#"kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.002"}"#,
            0.0,
        ),
        (
            r#"kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="0.004"}"#,
            1.0,
        ),
        (
            r#"kubeproxy_network_programming_duration_seconds_bucket{ip_family="IPv4",le="0.5"}"#,
            0.0,
        ),
        (
            r#"kubeproxy_network_programming_duration_seconds_bucket{ip_family="IPv4",le="1"}"#,
            1.0,
        ),
        (
            r#"kubeproxy_network_programming_duration_seconds_bucket{ip_family="IPv4",le="300"}"#,
            1.0,
        ),
    ] {
        assert!(
            (value(&page, series) - expected).abs() < f64::EPSILON,
            "{series} in\n{page}"
        );
    }
    for counter in golden::well().counters {
        let kind = counter.reason.split('_').next().unwrap();
        let series = format!(
            r#"kpr_datapath_events_total{{kind="{kind}",reason="{}"}}"#,
            counter.reason
        );
        #[expect(clippy::cast_precision_loss, reason = "small")]
        let expected = counter.count as f64;
        assert!((value(&page, &series) - expected).abs() < f64::EPSILON, "{series}");
    }
}

#[test]
fn a_service_port_has_the_sum_of_its_frontends() {
    let page = page();
    let port = r#"namespace="default",service="web",port="http",protocol="TCP""#;
    for (series, expected) in [
        (format!(r#"kpr_service_connections_total{{{port},path="socket"}}"#), 7.0),
        (format!(r#"kpr_service_connections_total{{{port},path="packet"}}"#), 2.0),
        (
            format!(r#"kpr_service_packets_total{{{port},direction="request"}}"#),
            10.0,
        ),
        (
            format!(r#"kpr_service_packets_total{{{port},direction="reply"}}"#),
            20.0,
        ),
        (
            format!(r#"kpr_service_bytes_total{{{port},direction="request"}}"#),
            1_000.0,
        ),
        (
            format!(r#"kpr_service_bytes_total{{{port},direction="reply"}}"#),
            30_000.0,
        ),
        (r#"kpr_service_ports{counted="yes"}"#.to_owned(), 1.0),
        (r#"kpr_service_ports{counted="no"}"#.to_owned(), 3.0),
    ] {
        assert!(
            (value(&page, &series) - expected).abs() < f64::EPSILON,
            "{series} in\n{page}"
        );
    }
}

#[test]
fn the_process_is_measured() {
    let page = page();
    let resident = value(&page, "process_resident_memory_bytes");
    assert!((1e6..1e10).contains(&resident), "{resident} bytes");
    let started = value(&page, "process_start_time_seconds");
    #[expect(clippy::cast_precision_loss, reason = "seconds since 1970")]
    let now = Timestamp::now().as_second() as f64;
    assert!(
        (now - 86_400.0..=now + 1.0).contains(&started),
        "{started}, and now {now}"
    );
    assert!(value(&page, "process_open_fds") >= 3.0);
    assert!(value(&page, "process_cpu_seconds_total") >= 0.0);
}

#[test]
fn every_metric_is_told_once_and_explained() {
    let page = page();
    let told: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")).collect();
    let names: BTreeSet<&str> = told.iter().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names.len(), told.len(), "{told:?}");
    let explained: BTreeSet<&str> = include_str!("../../../docs/metrics.md")
        .lines()
        .filter(|line| line.starts_with("| `") || line.starts_with("`process_"))
        .flat_map(|line| {
            line.strip_prefix("| ")
                .map_or(line, |row| row.split('|').next().unwrap_or_default())
                .split('`')
        })
        .filter(|name| {
            ["kpr_", "kubeproxy_", "process_"]
                .iter()
                .any(|prefix| name.starts_with(prefix))
        })
        .collect();
    assert_eq!(names, explained, "docs/metrics.md");
}

#[test]
fn every_reason_is_explained() {
    let documentation = include_str!("../../../docs/metrics.md");
    for reason in Reason::ALL {
        let name = format!("`{}`", reason.name());
        assert!(documentation.contains(&name), "docs/metrics.md says nothing of {name}");
    }
}
