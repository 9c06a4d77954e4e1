//! `kpr explain`: what it says of a connection, and what becomes of that connection then.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use kube::ResourceExt as _;
use serde_json::{Value, json};

use super::{
    Deployed, POD_PORT, Probe, TCP_PORT, Vantage, Workload, client_pod,
    exit_codes::{NOT_FOUND, UNREACHABLE},
    service::{balance_load, cluster_ip, create_service, pod_ip},
};
use crate::{cluster::Cluster, process::Output};

/// The node that is asked.
const NODE: &str = "node-a";
/// A port that a client keeps.
const PORT: u16 = 41_000;
const VIP: &str = "203.0.113.7";

/// A client outside and a pod each have explained what they are about to ask for, and then ask: a frontend with two backends, one that they
/// stick to, one without endpoints, one that does not let them in, and a connection that is open. What was said is what happens.
pub async fn what_is_explained_is_what_clients_meet(cluster: &mut Cluster) -> Result<()> {
    let web = Workload::named("web").node_port().deploy(cluster).await?;
    let sticky = Workload::named("sticky")
        .node_port()
        .client_ip_affinity()
        .deploy(cluster)
        .await?;
    let client = client_pod(cluster, NODE).await?;
    let inside = Vantage::pod(&client);
    let pod = format!("pod/default/{}", client.name_any());
    let address = cluster.client_address()?;
    let outside = format!("outside={address}");

    let node_port = web.node_port(cluster, NODE, TCP_PORT)?;
    web.served(cluster, &Vantage::Outside, node_port, 2).await?;
    let said = explain(cluster, node_port, &outside).await?;
    ensure!(
        said["hook"] == "ingress" && said["frontend"]["service"] == "default/web:http",
        "{said}"
    );
    leads_to_one_of(cluster, &web, &said).await?;

    let web_ip = web.cluster_ip(TCP_PORT)?;
    web.served(cluster, &inside, web_ip, 2).await?;
    let said = explain(cluster, web_ip, &pod).await?;
    ensure!(
        said["hook"] == "connect" && said["outcome"]["verdict"] == "connects",
        "{said}"
    );
    leads_to_one_of(cluster, &web, &said).await?;

    for (from, vantage, target) in [
        (&outside, &Vantage::Outside, sticky.node_port(cluster, NODE, TCP_PORT)?),
        (&pod, &inside, sticky.cluster_ip(TCP_PORT)?),
    ] {
        let backend = Probe::tcp(cluster, vantage, target).sticks_eventually().await?;
        let said = explain(cluster, target, from).await?;
        ensure!(
            said["chosen"]["by"] == "affinity" && said["chosen"]["certain"] == true,
            "{said}"
        );
        ensure!(
            said["chosen"]["address"] == json!(address_of(cluster, &sticky, &backend).await?),
            "{backend}: {said}"
        );
    }

    open_connection(cluster, node_port).await?;
    refused_and_dropped(cluster, &inside, &pod, &outside).await?;
    who_is_not_here(cluster, node_port, web_ip, &outside).await
}

/// A connection that is open keeps its backend, and nothing that is explained breaks it.
async fn open_connection(cluster: &Cluster, node_port: SocketAddr) -> Result<()> {
    let holding = Vantage::Outside.hold_from(cluster, PORT, node_port).await?;
    let client = SocketAddr::new(cluster.client_address()?, PORT).to_string();
    for _ in 0..5 {
        let said = explain(cluster, node_port, &format!("outside={client}")).await?;
        let flows = cluster
            .kpr_json(NODE, &["conntrack", "list", "--client", &client])
            .await?;
        ensure!(
            said["chosen"]["by"] == "flow" && said["frontend"]["service"] == "default/web:http",
            "{said}"
        );
        ensure!(flows[0]["backend"] == said["chosen"]["address"], "{said}: {flows}");
    }
    let report = holding.finish().await?;
    ensure!(report.broken.is_empty(), "{report:?}");
    Ok(())
}

/// What is refused and what is dropped is told so, with its reason.
async fn refused_and_dropped(cluster: &Cluster, inside: &Vantage, pod: &str, outside: &str) -> Result<()> {
    let port = json!([{"name": "http", "port": TCP_PORT, "targetPort": POD_PORT, "protocol": "TCP"}]);
    let empty = create_service(cluster, "empty", json!({"selector": {"app": "nobody"}, "ports": port})).await?;
    let empty = cluster_ip(&empty, TCP_PORT)?;
    Probe::tcp(cluster, inside, empty).refused().await?;
    let said = explain(cluster, empty, pod).await?;
    ensure!(
        said["outcome"]["verdict"] == "denied" && said["reasons"] == json!(["socket_no_endpoint"]),
        "{said}"
    );

    let few = json!({
        "type": "LoadBalancer",
        "selector": {"app": "web"},
        "loadBalancerSourceRanges": ["198.51.100.0/24"],
        "ports": port,
    });
    create_service(cluster, "few", few).await?;
    balance_load(cluster, "few", &[(VIP, NODE)]).await?;
    let closed = SocketAddr::new(VIP.parse()?, TCP_PORT);
    Probe::tcp(cluster, &Vantage::Outside, closed).dropped().await?;
    let said = explain(cluster, closed, outside).await?;
    ensure!(
        said["outcome"]["verdict"] == "dropped" && said["reasons"] == json!(["drop_source_range"]),
        "{said}"
    );
    ensure!(said["frontend"]["service"] == "default/few:http", "{said}");
    Ok(())
}

/// A pod that is not on the node is not found; without the agent, addresses are explained and names are not.
async fn who_is_not_here(cluster: &mut Cluster, node_port: SocketAddr, web: SocketAddr, outside: &str) -> Result<()> {
    let unknown = "pod/default/nobody";
    let output = kpr(cluster, web, unknown).await?;
    ensure!(output.status.code() == Some(NOT_FOUND), "{output:?}");
    cluster.kill_agent(NODE).await?;
    let output = kpr(cluster, web, unknown).await?;
    ensure!(output.status.code() == Some(UNREACHABLE), "{output:?}");
    let said = explain(cluster, node_port, outside).await?;
    ensure!(
        said["frontend"]["serviceType"] == "NodePort" && said["frontend"].get("service").is_none(),
        "{said}"
    );
    Ok(())
}

/// The backends that are said to be candidates are the workload's, and the chosen one is among them.
async fn leads_to_one_of(cluster: &Cluster, workload: &Deployed, said: &Value) -> Result<()> {
    let mut pods = Vec::new();
    for node in [NODE, "node-b"] {
        let pod = workload.pod_on(cluster, node).await?;
        pods.push(json!(SocketAddr::new(pod_ip(&pod)?, TCP_PORT)));
    }
    let candidates = said["candidates"].as_array().context("a list")?;
    ensure!(candidates.len() == pods.len(), "{said}");
    ensure!(
        candidates.iter().all(|candidate| pods.contains(&candidate["address"])),
        "{said}"
    );
    ensure!(pods.contains(&said["chosen"]["address"]), "{said}");
    Ok(())
}

/// Where the pod of this name serves.
async fn address_of(cluster: &Cluster, workload: &Deployed, name: &str) -> Result<SocketAddr> {
    for node in [NODE, "node-b"] {
        let pod = workload.pod_on(cluster, node).await?;
        if pod.name_any() == name {
            return Ok(SocketAddr::new(pod_ip(&pod)?, TCP_PORT));
        }
    }
    anyhow::bail!("no pod is called {name}")
}

/// The last thing that is said of a client's connection to this target.
async fn explain(cluster: &Cluster, target: SocketAddr, from: &str) -> Result<Value> {
    let target = target.to_string();
    let answer = cluster
        .kpr_json(NODE, &["explain", "tcp", &target, "--from", from])
        .await?;
    let steps = answer["steps"].as_array().context("steps")?;
    ensure!(answer.get("notes").is_none(), "{answer}");
    steps.last().cloned().with_context(|| format!("no step: {answer}"))
}

async fn kpr(cluster: &Cluster, target: SocketAddr, from: &str) -> Result<Output> {
    let target = target.to_string();
    cluster
        .kpr(NODE)?
        .args(["explain", "tcp", &target, "--from", from])
        .output()
        .await
}
