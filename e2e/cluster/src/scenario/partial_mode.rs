//! `mode: Partial`: kpr serves some kinds of Services, and a kube-proxy beside it the others.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use kpr_crds::{
    KubeProxyReplacement,
    conditions::{NodeCondition, NodeReason},
};
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    Holding, Load, TCP_PORT, UDP_PORT, Vantage, install,
    ways::{BALANCED, Counts, Everywhere, Kind, kpr_kinds},
};
use crate::{
    cluster::{Cluster, eventually},
    kube_proxy::KubeProxyMode,
};

/// How long a change may take to reach every node.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long traffic goes on after a change: long enough that a broken connection would be met.
const TRAFFIC: Duration = Duration::from_millis(500);

/// kpr has the ClusterIPs, kube-proxy what is for the outside: everything works from pods, nodes and outside, over TCP and UDP,
/// and each is led by the one that is to lead it.
pub async fn kpr_has_cluster_ips_and_kube_proxy_the_rest(cluster: &mut Cluster, mode: KubeProxyMode) -> Result<()> {
    let sockets = |led: &Counts| led.kpr("socket_translated") > 0;
    let led = led(cluster, mode, json!({"clusterIP": true}), &["ClusterIP"], sockets).await?;
    led.rules_led_only(&[Kind::NodePort, Kind::ExternalIp, Kind::LoadBalancer])?;
    ensure!(led.kpr_flows() == 0, "kpr led somebody on the wire: {led:?}");
    Ok(())
}

/// kpr has NodePorts and load balancers, kube-proxy ClusterIPs and external IPs.
pub async fn kpr_has_node_ports_and_load_balancers_and_kube_proxy_the_rest(
    cluster: &mut Cluster,
    mode: KubeProxyMode,
) -> Result<()> {
    let kinds = json!({"nodePort": true, "loadBalancer": true});
    // On the wire, and the sockets of pods and nodes that ask a NodePort.
    let both = |led: &Counts| led.kpr_flows() > 0 && led.kpr("socket_translated") > 0;
    let led = led(cluster, mode, kinds, &["LoadBalancer", "NodePort"], both).await?;
    led.rules_led_only(&[Kind::ClusterIp, Kind::ExternalIp])
}

/// Sets both up, and reaches a Service in every way. Returns who led how many, once kpr's counters, which agents look at every few
/// seconds, show `expected`.
async fn led(
    cluster: &mut Cluster,
    mode: KubeProxyMode,
    services: Value,
    kinds: &[&str],
    expected: impl Fn(&Counts) -> bool,
) -> Result<Counts> {
    cluster.start_kube_proxy(mode).await?;
    install::kpr_with(cluster, json!({"mode": "Partial", "services": services})).await?;
    let web = Everywhere::deploy(cluster).await?;
    programmed(cluster, &web, kinds).await?;
    web.served(cluster).await?;
    let before = web.counts(cluster).await?;
    web.served(cluster).await?;
    let (cluster, web, before, expected) = (&*cluster, &web, &before, &expected);
    eventually("kpr's counters show whom it led", PATIENCE, || async move {
        let led = web.counts(cluster).await?.since(before);
        Ok(if expected(&led) {
            Ok(led)
        } else {
            Err(format!("{led:?}"))
        })
    })
    .await
}

/// Every kind but external IPs is switched on and off under load and with connections open: no request is lost and no
/// connection breaks, whoever has begun it.
pub async fn switching_kinds_loses_nothing(cluster: &mut Cluster, mode: KubeProxyMode) -> Result<()> {
    cluster.start_kube_proxy(mode).await?;
    install::kpr_with(cluster, json!({"mode": "Partial", "services": {"externalIPs": true}})).await?;
    let web = Everywhere::deploy(cluster).await?;
    programmed(cluster, &web, &["ExternalIPs"]).await?;
    web.served(cluster).await?;
    let targets = [
        (web.pod.clone(), web.web.cluster_ip(TCP_PORT)?),
        (Vantage::Outside, web.web.node_port(cluster, "node-b", TCP_PORT)?),
        (Vantage::Outside, SocketAddr::new(BALANCED.parse()?, TCP_PORT)),
    ];
    let mut loads: Vec<Load> = Vec::new();
    let mut held: Vec<Holding> = Vec::new();
    for (from, target) in &targets {
        loads.push(from.load(cluster, *target, 2).await?);
    }
    let switches = [
        (
            json!({"clusterIP": true, "nodePort": true, "loadBalancer": true}),
            vec!["ClusterIP", "ExternalIPs", "LoadBalancer", "NodePort"],
        ),
        (
            json!({"clusterIP": false, "nodePort": true, "loadBalancer": false}),
            vec!["ExternalIPs", "NodePort"],
        ),
        (
            json!({"clusterIP": true, "nodePort": false, "loadBalancer": true}),
            vec!["ClusterIP", "ExternalIPs", "LoadBalancer"],
        ),
        (
            json!({"clusterIP": false, "nodePort": false, "loadBalancer": false}),
            vec!["ExternalIPs"],
        ),
    ];
    for (services, kinds) in switches {
        // Connections of whoever has the kind now.
        for (from, target) in &targets {
            held.push(from.hold_calmly(cluster, *target, 5, PAUSE).await?);
        }
        switch(cluster, &services).await?;
        programmed(cluster, &web, &kinds).await?;
        sleep(TRAFFIC).await;
    }
    for load in loads {
        let tally = load.finish().await?;
        ensure!(
            tally.failed() == 0,
            "requests failed while kinds were switched: {tally:?}"
        );
        ensure!(tally.answered() >= 50, "too little traffic to tell: {tally:?}");
    }
    for holding in held {
        holding.unbroken().await?;
    }
    Ok(())
}

/// `mode: Strict` although a kube-proxy runs: everything is served, by kpr, and the condition says what is the matter.
pub async fn strict_beside_a_kube_proxy_works_and_says_so(cluster: &mut Cluster, mode: KubeProxyMode) -> Result<()> {
    cluster.start_kube_proxy(mode).await?;
    install::kpr(cluster).await?;
    let web = Everywhere::deploy(cluster).await?;
    programmed(cluster, &web, &["ClusterIP", "ExternalIPs", "LoadBalancer", "NodePort"]).await?;
    web.served(cluster).await?;
    let before = web.counts(cluster).await?;
    web.served(cluster).await?;
    web.counts(cluster).await?.since(&before).rules_led_only(&[])?;
    let running = format!("kube-proxy runs in mode {mode} though kpr serves every Service");
    for node in cluster.node_names() {
        condition(cluster, &node, NodeReason::Running, &running).await?;
    }
    let policies: Api<KubeProxyReplacement> = Api::all(cluster.client());
    eventually("the policy says so", PATIENCE, || async {
        let status = policies.get(install::POLICY).await?.status.unwrap_or_default();
        let told = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == "KubeProxyAbsent");
        let told = told.is_some_and(|told| told.status.as_str() == "False" && told.message.contains("node-a"));
        Ok(if told { Ok(()) } else { Err(format!("{status:?}")) })
    })
    .await
}

async fn condition(cluster: &Cluster, node: &str, reason: NodeReason, says: &str) -> Result<()> {
    eventually(&format!("{node} says {says:?}"), PATIENCE, || async {
        let status = install::ready_node(cluster, node).await?.status.unwrap_or_default();
        let absent = NodeCondition::KubeProxyAbsent.as_str();
        let told = status.conditions.iter().find(|condition| condition.type_ == absent);
        let as_expected = told.is_some_and(|told| {
            told.status.as_str() == "False" && told.reason == reason.as_str() && told.message.contains(says)
        });
        Ok(if as_expected { Ok(()) } else { Err(format!("{told:?}")) })
    })
    .await
}

/// Changes the kinds that kpr serves.
async fn switch(cluster: &Cluster, services: &Value) -> Result<()> {
    let policies: Api<KubeProxyReplacement> = Api::all(cluster.client());
    let patch = Patch::Merge(json!({"spec": {"services": services}}));
    policies.patch(install::POLICY, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// Waits until every node has programmed the Service's frontends of these kinds, and no others.
async fn programmed(cluster: &Cluster, web: &Everywhere, kinds: &[&str]) -> Result<()> {
    let wanted: BTreeSet<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
    for node in cluster.node_names() {
        eventually(&format!("{node} serves {wanted:?}"), PATIENCE, || async {
            let kinds = kpr_kinds(cluster, web, &node).await?;
            Ok(if kinds == wanted {
                Ok(())
            } else {
                Err(format!("{kinds:?}"))
            })
        })
        .await?;
    }
    Ok(())
}

/// How many connections are open when Services change hands, to each kind of address.
const CONNECTIONS: u32 = 13;
/// Between two requests on one: all together must not be what the machine is busy with.
const PAUSE: Duration = Duration::from_millis(200);

/// Connections through kube-proxy's rules, TCP and UDP, from a pod and from outside, go on when kpr takes over; new ones are kpr's;
/// and those go on in turn when kpr is removed and kube-proxy serves again. (Those with DSR can't: the mode is SNAT by then.)
pub async fn taking_over_and_giving_back_breaks_nothing(cluster: &mut Cluster, mode: KubeProxyMode) -> Result<()> {
    cluster.start_kube_proxy(mode).await?;
    let web = Everywhere::deploy(cluster).await?;
    web.served(cluster).await?;
    let first = Open::open(cluster, &web).await?;

    install::kpr(cluster).await?;
    programmed(cluster, &web, &["ClusterIP", "ExternalIPs", "LoadBalancer", "NodePort"]).await?;
    web.served(cluster).await?;
    install::no_more_dsr(cluster).await?;
    let before = web.counts(cluster).await?;
    let second = Open::open(cluster, &web).await?;
    web.served(cluster).await?;
    web.counts(cluster).await?.since(&before).rules_led_only(&[])?;
    first.unbroken("kube-proxy's, after kpr has taken over").await?;

    install::remove(cluster).await?;
    sleep(TRAFFIC).await;
    second.unbroken("kpr's, after kube-proxy has taken over").await?;
    web.served(cluster).await
}

/// Clients that keep what they have: connections, and sockets with one peer.
struct Open {
    held: Vec<Holding>,
    udp: Vec<super::UdpHolding>,
}

impl Open {
    async fn open(cluster: &Cluster, web: &Everywhere) -> Result<Self> {
        let mut open = Self {
            held: Vec::new(),
            udp: Vec::new(),
        };
        let at = |port| -> Result<_> {
            Ok([
                (web.pod.clone(), web.web.cluster_ip(port)?),
                (Vantage::Outside, web.web.node_port(cluster, "node-a", port)?),
                (Vantage::Outside, web.web.node_port(cluster, "node-b", port)?),
                (Vantage::Outside, SocketAddr::new(BALANCED.parse()?, port)),
            ])
        };
        for (from, target) in at(TCP_PORT)? {
            open.held
                .push(from.hold_calmly(cluster, target, CONNECTIONS, PAUSE).await?);
        }
        for (from, target) in at(UDP_PORT)? {
            // Several, so that both pods are met through both nodes.
            for _ in 0..3 {
                open.udp.push(from.udp_hold(cluster, target).await?);
            }
        }
        Ok(open)
    }

    async fn unbroken(self, whose: &str) -> Result<()> {
        for holding in self.held {
            let report = holding.finish().await?;
            ensure!(report.broken.is_empty(), "connections broke ({whose}): {report:?}");
            ensure!(report.connections == CONNECTIONS, "{whose}: {report:?}");
        }
        for holding in self.udp {
            let report = holding.finish().await?;
            let [socket] = &report.sockets[..] else {
                anyhow::bail!("{whose}: {report:?}");
            };
            ensure!(socket.end.is_none(), "{whose}: {report:?}");
            ensure!(
                socket.first_ms.len() == 1,
                "a flow of datagrams was led to another pod ({whose}): {report:?}"
            );
        }
        Ok(())
    }
}
