//! `kubeProxy.policy: Disable`: kube-proxy's DaemonSet is parked, its rules go, and all of it comes back before kpr goes.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use kpr_crds::{KubeProxyReplacement, conditions};
use kube::Api;
use serde_json::json;
use tokio::time::sleep;

use super::{
    Holding, Pacing, TCP_PORT, Vantage, install,
    ways::{BALANCED, Everywhere},
};
use crate::{
    cluster::{Cluster, eventually},
    kube_proxy::{Deployed, KubeProxyMode},
    testbed::Host,
};

/// How long parking, and bringing back, may take.
const PATIENCE: Duration = Duration::from_mins(2);
/// How long traffic goes on after a change: long enough that a broken connection would be met.
const TRAFFIC: Duration = Duration::from_secs(2);
/// Connections to each of four addresses: two hundred in all.
const CONNECTIONS: u32 = 50;
/// Between two requests on one: all together must not be what the machine is busy with.
const PAUSE: Duration = Duration::from_secs(1);
/// New connections each second, to each of the four.
const RATE: u32 = 15;

/// Two hundred connections through kube-proxy's rules outlive its end and its return, and so do connections that are begun in
/// between; whoever opens new ones all the time fails none; nothing of kube-proxy is left in between, and everything is as it was
/// after. (Connections with DSR can't outlive kpr: those in between get SNAT.)
pub async fn parking_and_giving_back_breaks_nothing(cluster: &mut Cluster, mode: KubeProxyMode) -> Result<()> {
    let kube_proxy = cluster.deploy_kube_proxy(mode).await?;
    let web = Everywhere::deploy(cluster).await?;
    web.served(cluster).await?;
    let before = kube_proxy.object().await?;
    let first = hold(cluster, &web).await?;
    let loads = keep_connecting(cluster, &web).await?;

    install::kpr_with(cluster, json!({"mode": "Strict", "kubeProxy": {"policy": "Disable"}})).await?;
    until_parked(cluster).await?;
    ensure!(kube_proxy.ready_on().await?.is_empty(), "pods of kube-proxy are left");
    for host in cluster.testbed().hosts() {
        let left = rules_of_kube_proxy(host).await?;
        ensure!(left.is_empty(), "left of kube-proxy on {}: {left:#?}", host.spec.name);
    }
    web.served(cluster).await?;
    install::no_more_dsr(cluster).await?;
    let second = hold(cluster, &web).await?;
    sleep(TRAFFIC).await;
    web.served(cluster).await?;

    give_back(cluster, &kube_proxy).await?;
    for host in cluster.testbed().hosts() {
        let rules = rules_of_kube_proxy(host).await?;
        ensure!(!rules.is_empty(), "no rule of kube-proxy is back on {}", host.spec.name);
    }
    ensure!(
        kube_proxy.object().await?.spec == before.spec,
        "the DaemonSet is not what it was"
    );
    sleep(TRAFFIC).await;
    for load in loads {
        let tally = load.finish().await?.tally;
        ensure!(tally.failed() == 0, "new connections failed: {tally:?}");
        ensure!(tally.answered() >= 100, "too little traffic to tell: {tally:?}");
    }
    unbroken(first, "through kube-proxy's rules, from before kpr").await?;
    unbroken(second, "through kpr, from before kube-proxy was back").await?;
    web.served(cluster).await
}

fn targets(cluster: &Cluster, web: &Everywhere) -> Result<[(Vantage, SocketAddr); 4]> {
    Ok([
        (web.pod.clone(), web.web.cluster_ip(TCP_PORT)?),
        (Vantage::Outside, web.web.node_port(cluster, "node-a", TCP_PORT)?),
        (Vantage::Outside, web.web.node_port(cluster, "node-b", TCP_PORT)?),
        (Vantage::Outside, SocketAddr::new(BALANCED.parse()?, TCP_PORT)),
    ])
}

async fn hold(cluster: &Cluster, web: &Everywhere) -> Result<Vec<Holding>> {
    let mut held = Vec::new();
    for (from, target) in targets(cluster, web)? {
        held.push(from.hold_calmly(cluster, target, CONNECTIONS, PAUSE).await?);
    }
    Ok(held)
}

async fn keep_connecting(cluster: &Cluster, web: &Everywhere) -> Result<Vec<Pacing>> {
    let mut loads = Vec::new();
    for (from, target) in targets(cluster, web)? {
        loads.push(from.pace(cluster, target, RATE).await?);
    }
    Ok(loads)
}

async fn unbroken(held: Vec<Holding>, whose: &str) -> Result<()> {
    for holding in held {
        let report = holding.finish().await?;
        ensure!(report.broken.is_empty(), "connections broke ({whose}): {report:?}");
        ensure!(report.connections == CONNECTIONS, "{whose}: {report:?}");
    }
    Ok(())
}

/// Waits until the policy says that nothing of kube-proxy is left.
async fn until_parked(cluster: &Cluster) -> Result<()> {
    let policies: Api<KubeProxyReplacement> = Api::all(cluster.client());
    eventually("kube-proxy is parked", PATIENCE, || async {
        let status = policies.get(install::POLICY).await?.status.unwrap_or_default();
        let told = conditions::find(&status.conditions, "KubeProxyAbsent").cloned();
        let parked = told
            .as_ref()
            .is_some_and(|told| told.status == "True" && told.reason == "Parked");
        Ok(if parked { Ok(()) } else { Err(format!("{told:?}")) })
    })
    .await
}

/// Deletes the KubeProxyReplacement, and waits until kube-proxy is back and it is gone.
async fn give_back(cluster: &Cluster, kube_proxy: &Deployed) -> Result<()> {
    install::delete(cluster).await?;
    cluster.kube_proxy_on_every_node(kube_proxy).await?;
    install::gone_within(cluster, PATIENCE).await
}

/// What both kinds of iptables and nftables list of kube-proxy on a node, but for what is the kubelet's.
async fn rules_of_kube_proxy(host: &Host) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for program in [
        "iptables-legacy-save",
        "ip6tables-legacy-save",
        "iptables-nft-save",
        "ip6tables-nft-save",
    ] {
        let saved = host.launch(program)?.output().await?.success()?;
        found.extend(saved.lines().map(str::to_owned));
    }
    let listed = host
        .launch("nft")?
        .args(["list", "ruleset"])
        .output()
        .await?
        .success()?;
    found.extend(listed.lines().map(str::to_owned));
    found.retain(|line| line.contains("KUBE-") || line.contains("kube-proxy"));
    found.retain(|line| !line.contains("KUBE-FIREWALL"));
    Ok(found)
}
