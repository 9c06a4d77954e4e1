//! Very many flows through one NodePort to one backend on another node: each keeps a tuple of its own.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kpr_crds::{NodeDatapath, conditions};
use kube::{Api, api::ListParams};
use serde_json::{Value, json};

use super::{Deployed, TCP_PORT, UDP_PORT, Vantage, Workload, install};
use crate::{
    client::Flows,
    cluster::{Cluster, eventually},
};

/// Flows of each protocol at once.
const MANY: u32 = 10_000;
/// The source ports that there are in the scenario of exhaustion, and how many flows want one.
const PORTS: u32 = 1_000;
const WANTED: u32 = 1_200;
/// A flow that is refused at once does not wait for a SYN to be sent again.
const AT_ONCE_MS: u64 = 900;
/// How long it may take until what was seen is told, or until room is made.
const PATIENCE: Duration = Duration::from_mins(1);

/// SNAT with [`PORTS`] source ports. With DSR there is nothing to run out of.
fn few_ports() -> Value {
    json!({"mode": "Strict", "loadBalancer": {"mode": "SNAT", "snatPorts": "45000-45999"}})
}

/// One pod on node-b, asked at node-a.
async fn server(cluster: &Cluster) -> Result<Deployed> {
    let web = Workload::named("web").replicas(1).on_node("node-b").node_port();
    let web = web.deploy(cluster).await?;
    for port in [TCP_PORT, UDP_PORT] {
        let target = web.node_port(cluster, "node-a", port)?;
        web.served(cluster, &Vantage::Outside, target, 1).await?;
    }
    Ok(web)
}

/// 10,000 TCP and 10,000 UDP flows at the same time through one NodePort to one remote backend: each gets its own answers, twice,
/// and the backend sees as many peers.
pub async fn ten_thousand_flows_of_each_protocol_share_no_tuple(cluster: &mut Cluster) -> Result<()> {
    let web = server(cluster).await?;
    let (tcp, udp) = (
        web.node_port(cluster, "node-a", TCP_PORT)?,
        web.node_port(cluster, "node-a", UDP_PORT)?,
    );
    let tcp = Vantage::Outside.flows(cluster, tcp, false, MANY).await?;
    let udp = Vantage::Outside.flows(cluster, udp, true, MANY).await?;
    let all = Flows {
        answered: MANY,
        peers: MANY,
        ..Flows::default()
    };
    ensure!(tcp.first == all, "TCP: {:?}", tcp.first);
    ensure!(udp.first == all, "UDP: {:?}", udp.first);
    // All 20,000 are open now.
    let (tcp, udp) = (tcp.again().await?, udp.again().await?);
    ensure!(tcp == all, "TCP, once more: {tcp:?}");
    ensure!(udp == all, "UDP, once more: {udp:?}");
    let page = status(cluster, &["--verbose"]).await?;
    ensure!(!page.contains("refuse_snat_exhausted"), "{page}");
    Ok(())
}

/// With SNAT and 1,000 source ports, of 1,200 connections as many are served as there are ports, and the others are refused at once; it is
/// counted and told, with what to do, by `kpr status`, a condition and an Event. When connections have ended, others find room. For a
/// cluster without kpr.
pub async fn beyond_the_port_range_flows_are_refused_and_it_is_told(cluster: &mut Cluster) -> Result<()> {
    install::kpr_with(cluster, few_ports()).await?;
    let web = server(cluster).await?;
    let target = web.node_port(cluster, "node-a", TCP_PORT)?;
    let open = Vantage::Outside.flows(cluster, target, false, WANTED).await?;
    let first = &open.first;
    // A few ports may still belong to the connections that were made to see that it is served.
    ensure!((PORTS - 50..=PORTS).contains(&first.answered), "{first:?}");
    ensure!((first.misdelivered, first.peers) == (0, first.answered), "{first:?}");
    ensure!(first.refused() == WANTED - first.answered, "{first:?}");
    ensure!(first.slowest_refusal_ms < AT_ONCE_MS, "{first:?}");

    let refused = first.refused();
    eventually("kpr status tells of refused flows", PATIENCE, || async {
        let page = status(cluster, &["--verbose"]).await?;
        let counted = page.lines().any(|line| {
            let mut words = line.split_whitespace();
            words.next() == Some("refuse_snat_exhausted") && words.next() == Some(&refused.to_string())
        });
        Ok(if counted && says_what_to_do(&page) {
            Ok(())
        } else {
            Err(page)
        })
    })
    .await?;
    told_by_condition(cluster, "False").await?;
    told_by_event(cluster).await?;

    let again = open.again().await?;
    ensure!(
        again.failed() == 0 && again.moved == 0 && again.misdelivered == 0,
        "{again:?}"
    );
    // Looked at, and not tried: connections that find less room than they need would take what there is, and keep it for a while.
    eventually("source ports are free again", PATIENCE, || async {
        let taken = ports_taken(cluster).await?;
        Ok(if taken < PORTS / 4 {
            Ok(())
        } else {
            Err(format!("{taken} are taken"))
        })
    })
    .await?;
    let flows = Vantage::Outside.flows(cluster, target, false, PORTS / 2).await?;
    ensure!(flows.first.answered == PORTS / 2, "{:?}", flows.first);
    Ok(())
}

/// Source ports that node-a's last sweep found taken, towards the backend that has most.
async fn ports_taken(cluster: &Cluster) -> Result<u32> {
    let status: Value = serde_json::from_str(&status(cluster, &["-o", "json"]).await?)?;
    let tables = status["sweep"]["tables"].as_array().context("no sweep")?;
    let taken = tables
        .iter()
        .filter_map(|table| table["fullest"]["ports"].as_u64())
        .max();
    Ok(u32::try_from(taken.unwrap_or_default())?)
}

/// With SNAT, more datagram flows than source ports: nobody gets another's answer, those that are answered have peers of their own.
pub async fn beyond_the_port_range_no_datagram_is_misdelivered(cluster: &mut Cluster) -> Result<()> {
    install::kpr_with(cluster, few_ports()).await?;
    let web = server(cluster).await?;
    let target = web.node_port(cluster, "node-a", UDP_PORT)?;
    let open = Vantage::Outside.flows(cluster, target, true, WANTED).await?;
    let first = &open.first;
    ensure!((PORTS - 50..=PORTS).contains(&first.answered), "{first:?}");
    ensure!((first.misdelivered, first.peers) == (0, first.answered), "{first:?}");
    // The kernel limits how many ICMP errors it sends to one host: not each datagram is refused aloud.
    ensure!(first.refused() > 0, "{first:?}");
    let again = open.again().await?;
    ensure!(
        again.failed() == 0 && again.moved == 0 && again.misdelivered == 0,
        "{again:?}"
    );
    Ok(())
}

async fn status(cluster: &Cluster, arguments: &[&str]) -> Result<String> {
    // Its exit code tells of troubles: here they are wanted.
    let output = cluster.kpr("node-a")?.arg("status").args(arguments).output().await?;
    Ok(output.stdout)
}

fn says_what_to_do(text: &str) -> bool {
    let words = ["45000-45999", "10.244.1.", ":80/TCP", "widen loadBalancer.snatPorts"];
    words.iter().all(|word| text.contains(word))
}

async fn told_by_condition(cluster: &Cluster, status: &str) -> Result<()> {
    let datapaths: Api<NodeDatapath> = Api::all(cluster.client());
    eventually(&format!("SnatPortsAvailable is {status}"), PATIENCE, || async {
        let datapath = datapaths.get("node-a").await?;
        let conditions = datapath.status.map(|status| status.conditions).unwrap_or_default();
        let told = conditions::find(&conditions, "SnatPortsAvailable")
            .is_some_and(|condition| condition.status == status && says_what_to_do(&condition.message));
        Ok(if told { Ok(()) } else { Err(format!("{conditions:?}")) })
    })
    .await
}

async fn told_by_event(cluster: &Cluster) -> Result<()> {
    let events: Api<Event> = Api::all(cluster.client());
    eventually("there is an Event", PATIENCE, || async {
        let events = events.list(&ListParams::default()).await?.items;
        let told = events
            .iter()
            .find(|event| event.reason.as_deref() == Some("SnatPortsExhausted"));
        let note = told.and_then(|event| event.note.clone());
        Ok(note
            .filter(|note| says_what_to_do(note))
            .context("none")
            .map_err(|error| format!("{error}: {events:?}")))
    })
    .await
    .map(|_note| ())
}
