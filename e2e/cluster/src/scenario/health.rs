//! What load balancers and probes ask of nodes: health check ports of Services, and the proxy's own.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use super::{Deployed, TCP_PORT, Vantage, Workload, client_pod, install, seen};
use crate::{
    address::Family,
    cluster::{Cluster, eventually},
    kube_proxy::desired::Protocol,
};

/// How long a change may take to show.
const PATIENCE: Duration = Duration::from_secs(20);
/// Of the proxy's own health.
const HEALTHZ: u16 = 10256;
/// Of its mode.
const METRICS: u16 = 10249;

const WEIGHT: &str = "x-load-balancing-endpoint-weight";
const REQUESTS: u32 = 10;

/// Every node says at its usual ports that it is well, to the outside and to itself.
///
/// Upstream: "should check kube-proxy urls"
pub async fn every_node_answers_kube_proxys_urls(cluster: &mut Cluster) -> Result<()> {
    for node in cluster.node_names() {
        let address = cluster.node_address(&node)?;
        let healthz = SocketAddr::new(address, HEALTHZ);
        for from in [Vantage::Outside, Vantage::node(&node)] {
            for (path, eligible) in [("/healthz", Some(true)), ("/livez", None)] {
                let reply = until(cluster, &from, healthz, path, Some(200)).await?;
                let body: Value = serde_json::from_str(&reply.body)?;
                ensure!(body["lastUpdated"].is_string(), "no lastUpdated: {reply:?}");
                ensure!(body["healthy"] == true, "not healthy: {reply:?}");
                ensure!(body["nodeEligible"].as_bool() == eligible, "{path}: {reply:?}");
                ensure!(body["status"]["IPv4"]["healthy"] == true, "no IPv4: {reply:?}");
            }
        }
        let own = SocketAddr::new([127, 0, 0, 1].into(), METRICS);
        let mode = until(cluster, &Vantage::node(&node), own, "/proxyMode", Some(200)).await?;
        ensure!(mode.body == "kpr", "{mode:?}");
        let outside = SocketAddr::new(address, METRICS);
        until(cluster, &Vantage::Outside, outside, "/proxyMode", None).await?;
    }
    Ok(())
}

/// A node's metrics say that it serves, and follow what its programs do.
pub async fn metrics_follow_the_datapath(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let target = web.node_port(cluster, "node-a", TCP_PORT)?;
    web.served(cluster, &Vantage::Outside, target, 2).await?;
    let before = flows(&metrics(cluster, "node-a").await?)?;
    let tally = Vantage::Outside.http(cluster, target, REQUESTS).await?;
    ensure!(tally.failed() == 0, "{tally:?}");
    eventually("the flows are counted", PATIENCE, || async {
        let page = metrics(cluster, "node-a").await?;
        let counted = flows(&page)? - before;
        Ok(if counted >= f64::from(REQUESTS) {
            Ok(())
        } else {
            Err(format!("{counted} of {REQUESTS}"))
        })
    })
    .await?;
    let page = metrics(cluster, "node-a").await?;
    for (series, least) in [
        (r#"kpr_phase{phase="Active"}"#, 1.0),
        ("kpr_synced", 1.0),
        ("kpr_services", 2.0),
        ("kpr_frontends", 3.0),
        (r#"kpr_map_entries{map="IPv4 service"}"#, 3.0),
        (
            r#"kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}"#,
            1.0,
        ),
        ("process_resident_memory_bytes", 1e6),
    ] {
        let value = value(&page, series).with_context(|| format!("no {series} in\n{page}"))?;
        ensure!(value >= least, "{series} is {value}");
    }
    Ok(())
}

/// What Services are asked and answer is counted once the policy asks for it, and no longer than that.
pub async fn services_are_counted_if_asked_for(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let client = Vantage::pod(&client_pod(cluster, "node-a").await?);
    let (node_port, cluster_ip) = (web.node_port(cluster, "node-a", TCP_PORT)?, web.cluster_ip(TCP_PORT)?);
    web.served(cluster, &Vantage::Outside, node_port, 2).await?;
    web.served(cluster, &client, cluster_ip, 2).await?;
    counts_services(cluster, false).await?;
    install::patch_policy(cluster, json!({"metrics": {"perService": {"enabled": true}}})).await?;
    counts_services(cluster, true).await?;

    for (from, target) in [(&Vantage::Outside, node_port), (&client, cluster_ip)] {
        let tally = from.http(cluster, target, REQUESTS).await?;
        ensure!(tally.failed() == 0, "{from}: {tally:?}");
    }
    are_counted(cluster).await?;
    cluster.stop_agent("node-a").await?;
    cluster.start_agent("node-a").await?;
    counts_services(cluster, true).await?;
    are_counted(cluster)
        .await
        .context("after a restart of node-a's agent")?;

    install::patch_policy(cluster, json!({"metrics": {"perService": {"enabled": false}}})).await?;
    counts_services(cluster, false).await
}

/// Both nodes together have counted [`REQUESTS`] connections from outside and as many from a pod, and the packets of those from outside.
async fn are_counted(cluster: &Cluster) -> Result<()> {
    // With DSR, replies go by the backend's node alone.
    let pages = [metrics(cluster, "node-a").await?, metrics(cluster, "node-b").await?];
    let sum = |series, part| -> f64 { pages.iter().map(|page| of_web(page, series, part)).sum() };
    let requests = f64::from(REQUESTS);
    for (part, expected) in [(r#"path="packet""#, requests), (r#"path="socket""#, requests)] {
        let counted = sum("kpr_service_connections_total", part);
        ensure!(
            (counted - expected).abs() < f64::EPSILON,
            "{part}: {counted} of {expected}"
        );
    }
    for part in [r#"direction="request""#, r#"direction="reply""#] {
        let (packets, bytes) = (
            sum("kpr_service_packets_total", part),
            sum("kpr_service_bytes_total", part),
        );
        // A connection with a request has five packets and more of the client's, and as many answers; none is smaller than its headers.
        ensure!(packets >= 3.0 * requests, "{part}: {packets} packets");
        ensure!(bytes >= 40.0 * packets, "{part}: {bytes} bytes in {packets} packets");
    }
    Ok(())
}

/// Waits until all nodes count Services, or none does.
async fn counts_services(cluster: &Cluster, wanted: bool) -> Result<()> {
    for node in cluster.node_names() {
        eventually("the node counts Services, or not", PATIENCE, || async {
            let page = metrics(cluster, &node).await?;
            Ok(if page.contains("kpr_service_ports{") == wanted {
                Ok(())
            } else {
                Err(format!("{node}: {}", !wanted))
            })
        })
        .await?;
    }
    Ok(())
}

/// What a page says of the Service `web`'s port of TCP.
fn of_web(page: &str, series: &str, part: &str) -> f64 {
    let lines = page.lines().filter(|line| line.starts_with(series));
    lines
        .filter(|line| {
            [r#"service="web""#, r#"protocol="TCP""#, part]
                .iter()
                .all(|label| line.contains(label))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}

/// The agents of the nodes ask each other how they are, once they know of each other; a node whose agent is down is told apart.
pub async fn agents_ask_each_other_how_they_are(cluster: &mut Cluster) -> Result<()> {
    cluster.stop_agent("node-b").await?;
    cluster.introduce_agents().await?;
    reaches(cluster, &[("node-a", true), ("node-b", false)]).await?;
    let page = kpr_status(cluster, &["--verbose"]).await?;
    ensure!(page.contains("1/2 reachable"), "{page}");
    ensure!(page.contains("unreachable: Connection refused"), "{page}");

    cluster.start_agent("node-b").await?;
    reaches(cluster, &[("node-a", true), ("node-b", true)]).await
}

/// Node-a's agent says so of these agents, in this order.
async fn reaches(cluster: &Cluster, expected: &[(&str, bool)]) -> Result<()> {
    eventually("agents ask each other", PATIENCE, || async {
        let status: Value = serde_json::from_str(&kpr_status(cluster, &["-o", "json"]).await?)?;
        let nodes = status["cluster"]["nodes"].as_array().cloned().unwrap_or_default();
        let seen: Vec<_> = nodes
            .iter()
            .map(|node| {
                (
                    node["name"].as_str().unwrap_or_default(),
                    node["reachable"] == true && node["serves"] == true,
                )
            })
            .collect();
        Ok(if seen == expected {
            Ok(())
        } else {
            Err(format!("{nodes:?}"))
        })
    })
    .await
}

async fn kpr_status(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    let output = cluster.kpr("node-a")?.arg("status").args(arguments).output().await?;
    Ok(output.stdout)
}

/// The metrics of a node.
async fn metrics(cluster: &Cluster, node: &str) -> Result<String> {
    let own = SocketAddr::new([127, 0, 0, 1].into(), METRICS);
    let reply = until(cluster, &Vantage::node(node), own, "/metrics", Some(200)).await?;
    ensure!(
        reply
            .header("content-type")
            .is_some_and(|kind| kind.starts_with("text/plain; version=0.0.4")),
        "{reply:?}"
    );
    Ok(reply.body)
}

fn value(page: &str, series: &str) -> Option<f64> {
    let lines = page.lines();
    lines
        .filter_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .find_map(|value| value.parse().ok())
}

/// Flows that the programs have begun.
fn flows(page: &str) -> Result<f64> {
    let of = |reason| {
        value(
            page,
            &format!(r#"kpr_datapath_events_total{{kind="flow",reason="{reason}"}}"#),
        )
    };
    let both = of("flow_to_local").zip(of("flow_to_remote"));
    both.map(|(local, remote)| local + remote)
        .with_context(|| format!("no flows in\n{page}"))
}

/// A node that the autoscaler is about to remove gets no new connections, but lives, and its Services' health checks go on.
///
/// KEP-3836: the node is drained at the load balancer before it is gone.
pub async fn a_node_that_is_to_go_is_not_eligible(cluster: &mut Cluster) -> Result<()> {
    let web = balanced().deploy(cluster).await?;
    let node = SocketAddr::new(cluster.node_address("node-a")?, HEALTHZ);
    until(cluster, &Vantage::Outside, node, "/healthz", Some(200)).await?;

    taint(
        cluster,
        "node-a",
        json!([{"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}]),
    )
    .await?;
    let reply = until(cluster, &Vantage::Outside, node, "/healthz", Some(503)).await?;
    let body: Value = serde_json::from_str(&reply.body)?;
    ensure!(body["nodeEligible"] == false && body["healthy"] == true, "{reply:?}");
    until(cluster, &Vantage::Outside, node, "/livez", Some(200)).await?;
    until(
        cluster,
        &Vantage::Outside,
        check(cluster, &web, "node-a")?,
        "/",
        Some(200),
    )
    .await?;

    taint(cluster, "node-a", Value::Null).await?;
    until(cluster, &Vantage::Outside, node, "/healthz", Some(200)).await?;
    Ok(())
}

/// Load balancers hear from the node with pods how many there are, and from the others that there is none.
///
/// Upstream: "should only target nodes with endpoints"
pub async fn only_nodes_with_endpoints_pass_the_health_check(cluster: &mut Cluster) -> Result<()> {
    let web = balanced().deploy(cluster).await?;
    passes(cluster, &web, 1).await?;
    web.scale(cluster, 2).await?;
    web.ready_pods(cluster, 2).await?;
    passes(cluster, &web, 2).await
}

/// The health check fails as soon as the last endpoint terminates, while that one still serves: load balancers have time
/// to turn away.
///
/// Upstream: "should fail health check node port if there are only terminating endpoints"
pub async fn only_terminating_endpoints_fail_the_health_check_and_serve(cluster: &mut Cluster) -> Result<()> {
    let web = balanced().draining_for(PATIENCE).deploy(cluster).await?;
    passes(cluster, &web, 1).await?;
    let node_port = web.node_port(cluster, "node-a", TCP_PORT)?;
    web.served(cluster, &Vantage::Outside, node_port, 1).await?;

    web.scale(cluster, 0).await?;
    let target = check(cluster, &web, "node-a")?;
    let reply = until(cluster, &Vantage::Outside, target, "/healthz", Some(503)).await?;
    ensure!(reply.header(WEIGHT) == Some("0"), "{reply:?}");
    let tally = Vantage::Outside.http(cluster, node_port, REQUESTS).await?;
    ensure!(
        tally.answered() == REQUESTS,
        "the terminating pod should serve: {tally:?}"
    );
    Ok(())
}

/// A client behind the load balancer keeps its address; the health check port is closed once the Service is no longer
/// behind one.
///
/// Upstream: "should work for type=LoadBalancer"
pub async fn the_health_check_port_is_closed_after_the_type_changes(cluster: &mut Cluster) -> Result<()> {
    let mut web = balanced().deploy(cluster).await?;
    passes(cluster, &web, 1).await?;
    sees_the_client(cluster, &web).await?;

    let checks = checks(cluster, &web)?;
    web.patch_service(cluster, json!({"type": "ClusterIP"})).await?;
    closed(cluster, &checks).await
}

/// With policy Cluster the port is closed, and nodes hide the client (but with DSR); back to Local, both are as before.
///
/// Upstream: "should handle updates to ExternalTrafficPolicy field"
pub async fn the_health_check_follows_the_external_traffic_policy(cluster: &mut Cluster) -> Result<()> {
    let mut web = balanced().deploy(cluster).await?;
    passes(cluster, &web, 1).await?;

    let open = checks(cluster, &web)?;
    web.patch_service(cluster, json!({"externalTrafficPolicy": "Cluster"}))
        .await?;
    closed(cluster, &open).await?;
    let node_port = web.node_port(cluster, "node-b", TCP_PORT)?;
    web.served(cluster, &Vantage::Outside, node_port, 1).await?;
    let expected = seen::behind_another_node(cluster, "node-b", Family::V4, Protocol::Tcp)?;
    seen::settled(cluster, &Vantage::Outside, node_port, Protocol::Tcp, &[expected]).await?;
    let tally = Vantage::Outside.http(cluster, node_port, REQUESTS).await?;
    ensure!(
        tally.seen_as == [expected].into(),
        "the pod should see {expected}: {tally:?}"
    );

    web.patch_service(cluster, json!({"externalTrafficPolicy": "Local"}))
        .await?;
    passes(cluster, &web, 1).await?;
    sees_the_client(cluster, &web).await
}

/// When kpr is removed, its ports are free for a kube-proxy that takes over.
pub async fn removal_gives_the_ports_back(cluster: &mut Cluster) -> Result<()> {
    let web = balanced().deploy(cluster).await?;
    passes(cluster, &web, 1).await?;
    let mut ports = checks(cluster, &web)?;
    for node in cluster.node_names() {
        let healthz = SocketAddr::new(cluster.node_address(&node)?, HEALTHZ);
        until(cluster, &Vantage::Outside, healthz, "/healthz", Some(200)).await?;
        ports.push(healthz);
    }
    install::remove(cluster).await?;
    closed(cluster, &ports).await
}

/// A Service of type LoadBalancer with policy Local, and one pod on node-a.
fn balanced() -> Workload {
    Workload::named("web")
        .replicas(1)
        .on_node("node-a")
        .load_balancer_local()
}

/// Where a load balancer checks `node`.
fn check(cluster: &Cluster, web: &Deployed, node: &str) -> Result<SocketAddr> {
    let port = web
        .health_check_node_port()
        .context("the Service has no healthCheckNodePort")?;
    Ok(SocketAddr::new(cluster.node_address(node)?, port))
}

fn checks(cluster: &Cluster, web: &Deployed) -> Result<Vec<SocketAddr>> {
    let nodes = cluster.node_names();
    nodes.iter().map(|node| check(cluster, web, node)).collect()
}

/// Waits until node-a passes with `count` endpoints and node-b fails.
async fn passes(cluster: &Cluster, web: &Deployed, count: usize) -> Result<()> {
    for (node, status, count) in [("node-a", 200, count), ("node-b", 503, 0)] {
        let target = check(cluster, web, node)?;
        eventually(
            &format!("{target} answers {status}, weight {count}"),
            PATIENCE,
            || async {
                let reply = ask(cluster, &Vantage::Outside, target, "/healthz").await?;
                let Some(reply) = reply.filter(|reply| reply.status == status) else {
                    return Ok(Err("another answer".to_owned()));
                };
                let body: Value = serde_json::from_str(&reply.body)?;
                let expected = json!({
                    "service": {"namespace": "default", "name": "web"},
                    "localEndpoints": count,
                    "serviceProxyHealthy": true,
                });
                let weight = count.to_string();
                let right = body == expected && reply.header(WEIGHT) == Some(&weight);
                Ok(if right { Ok(()) } else { Err(format!("{reply:?}")) })
            },
        )
        .await?;
    }
    Ok(())
}

/// The pod on node-a sees the address of a client outside that asks node-a.
async fn sees_the_client(cluster: &Cluster, web: &Deployed) -> Result<()> {
    let node_port = web.node_port(cluster, "node-a", TCP_PORT)?;
    web.served(cluster, &Vantage::Outside, node_port, 1).await?;
    let tally = Vantage::Outside.http(cluster, node_port, REQUESTS).await?;
    let client = cluster.client_address()?;
    ensure!(
        tally.seen_as == [client].into(),
        "the pod should see {client}: {tally:?}"
    );
    Ok(())
}

async fn closed(cluster: &Cluster, ports: &[SocketAddr]) -> Result<()> {
    for &port in ports {
        until(cluster, &Vantage::Outside, port, "/healthz", None).await?;
    }
    Ok(())
}

async fn taint(cluster: &Cluster, node: &str, taints: Value) -> Result<()> {
    let nodes: Api<Node> = Api::all(cluster.client());
    let patch = Patch::Merge(json!({"spec": {"taints": taints}}));
    nodes
        .patch(node, &PatchParams::default(), &patch)
        .await
        .context("taint the Node")?;
    Ok(())
}

/// An HTTP answer.
#[derive(Debug, Default)]
struct Reply {
    status: u16,
    head: String,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

/// Asks until the status is the one wanted; none: until the port is closed.
async fn until(
    cluster: &Cluster,
    from: &Vantage,
    target: SocketAddr,
    path: &str,
    status: Option<u16>,
) -> Result<Reply> {
    eventually(
        &format!("{target}{path} answers {from} {status:?}"),
        PATIENCE,
        || async {
            let reply = ask(cluster, from, target, path).await?;
            Ok(if reply.as_ref().map(|reply| reply.status) == status {
                Ok(reply.unwrap_or_default())
            } else {
                Err(format!("{reply:?}"))
            })
        },
    )
    .await
}

/// One request; none if the port is closed.
async fn ask(cluster: &Cluster, from: &Vantage, target: SocketAddr, path: &str) -> Result<Option<Reply>> {
    /// curl's exit status for a refused connection.
    const REFUSED: i32 = 7;
    let curl = match from {
        Vantage::Pod(pod) => cluster.in_pod(pod, "curl")?,
        Vantage::Node(node) => cluster.on_node(node, "curl")?,
        Vantage::Outside => cluster.outside("curl")?,
    };
    let url = format!("http://{target}{path}");
    let output = curl
        .args(["--silent", "--show-error", "--include", "--max-time", "5", &url])
        .output()
        .await?;
    if output.status.code() == Some(REFUSED) {
        return Ok(None);
    }
    let answer = output.success()?;
    let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer")?;
    let status = head.split_whitespace().nth(1).context("no status line")?;
    Ok(Some(Reply {
        status: status.parse().context("no status")?,
        head: head.to_owned(),
        body: body.to_owned(),
    }))
}
