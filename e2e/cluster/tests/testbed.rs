//! The machines alone, before any Kubernetes: who reaches whom.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};
use kpr_cluster::{
    client::Tally,
    net::{Capture, Transport},
    process::{Launch, Process, log_tail},
    spec::ClusterSpec,
    teardown,
    testbed::{PodHost, Testbed},
};

const PORT: u16 = 80;
const PATIENCE: Duration = Duration::from_secs(10);

struct Pods {
    testbed: Testbed,
    on_a: (PodHost, Process),
    on_b: (PodHost, Process),
}

fn program() -> PathBuf {
    env!("CARGO_BIN_EXE_kpr-cluster").into()
}

async fn pod(testbed: &Testbed, node: &str, name: &str) -> Result<(PodHost, Process)> {
    let addresses = testbed.host(node)?.spec.pod_cidrs.nth(2);
    let host = testbed.add_pod(node, name, &format!("veth-{name}"), addresses)?;
    let log = testbed.dir().join(format!("{name}.log"));
    let server = host
        .launch(program())
        .args([
            "pod-server",
            "--namespace",
            "default",
            "--drain-ms",
            "0",
            "--tcp",
            "80",
            "--udp",
            "53",
        ])
        .args(["--pod", name, "--node", node, "--pod-ip", &addresses.to_string()])
        .spawn(&log)
        .await?;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !log_tail(&log).contains("serves on") {
        anyhow::ensure!(
            tokio::time::Instant::now() < deadline,
            "{name} does not start: {}",
            server.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok((host, server))
}

async fn two_pods() -> Result<Pods> {
    let testbed = Testbed::build(&ClusterSpec::default())?;
    let on_a = pod(&testbed, "node-a", "pod-a").await?;
    let on_b = pod(&testbed, "node-b", "pod-b").await?;
    Ok(Pods { testbed, on_a, on_b })
}

async fn ask(from: Launch, kind: &str, target: SocketAddr) -> Result<Tally> {
    from.args(["client", kind, &target.to_string(), "--timeout-ms", "1000"])
        .output()
        .await?
        .json()
}

fn target(testbed: &Testbed, node: &str, port: u16) -> Result<SocketAddr> {
    let address = testbed
        .host(node)?
        .spec
        .pod_cidrs
        .nth(2)
        .primary()
        .context("an address")?;
    Ok(SocketAddr::new(address, port))
}

#[tokio::test]
async fn pods_reach_each_other_across_nodes_with_their_own_addresses() -> Result<()> {
    let pods = two_pods().await?;
    let to_b = target(&pods.testbed, "node-b", PORT)?;
    let tally = ask(pods.on_a.0.launch(program()), "http", to_b).await?;
    assert_eq!(tally.from("pod-b"), 1, "{tally:?}");
    assert!(
        tally.seen_as.contains(&target(&pods.testbed, "node-a", PORT)?.ip()),
        "{tally:?}"
    );

    let to_a = target(&pods.testbed, "node-a", 53)?;
    let tally = ask(pods.on_b.0.launch(program()), "udp", to_a).await?;
    assert_eq!(tally.from("pod-a"), 1, "{tally:?}");
    Ok(())
}

#[tokio::test]
async fn nodes_reach_pods_and_the_outside_client_does_not() -> Result<()> {
    let pods = two_pods().await?;
    let to_b = target(&pods.testbed, "node-b", PORT)?;
    let from_node = ask(pods.testbed.host("node-a")?.launch(program())?, "http", to_b).await?;
    assert_eq!(from_node.from("pod-b"), 1, "{from_node:?}");

    let outside = Launch::new(program()).in_netns(pods.testbed.client());
    let from_outside = ask(outside, "http", to_b).await?;
    assert_eq!(from_outside.failures, [("ENETUNREACH".to_owned(), 1)].into());
    Ok(())
}

#[tokio::test]
async fn a_packet_for_no_one_is_lost_at_the_outside_client() -> Result<()> {
    let pods = two_pods().await?;
    let nowhere = SocketAddr::from(([10, 96, 0, 10], PORT));
    let tally = ask(pods.on_a.0.launch(program()), "http", nowhere).await?;
    assert_eq!(tally.failures, [("ETIMEDOUT".to_owned(), 1)].into());
    Ok(())
}

#[tokio::test]
async fn a_capture_on_a_pods_veth_sees_its_packets() -> Result<()> {
    let pods = two_pods().await?;
    let capture = Capture::start(&pods.testbed.host("node-a")?.netns, "veth-pod-a")?;
    let to_b = target(&pods.testbed, "node-b", PORT)?;
    ask(pods.on_a.0.launch(program()), "http", to_b).await?;
    let packets = capture.finish()?;
    let requests = packets
        .iter()
        .filter(|packet| packet.destination == to_b && !packet.outgoing);
    assert!(requests.clone().count() >= 3, "{packets:?}");
    assert!(requests.clone().all(|packet| packet.transport == Transport::Tcp));
    Ok(())
}

#[tokio::test]
async fn nothing_is_left_when_the_machines_go() -> Result<()> {
    let pods = two_pods().await?;
    let id = pods.testbed.id().clone();
    let cgroup = pods.testbed.host("node-a")?.cgroup.path().to_owned();
    let server = pods.on_a.1.pid().context("the pod runs")?;
    drop(pods);

    assert!(!id.run_dir().exists());
    assert!(!cgroup.exists());
    assert!(!PathBuf::from(format!("/proc/{server}")).exists());
    let namespaces: Vec<_> = std::fs::read_dir("/run/netns")?
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert!(
        !namespaces
            .iter()
            .any(|name| name.to_str().is_some_and(|name| id.owns_netns(name))),
        "{namespaces:?}"
    );
    // Once more does no harm.
    teardown::remove(&id)
}
