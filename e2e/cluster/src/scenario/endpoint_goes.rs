//! An endpoint that goes away under load, as a rolling update or a node's drain makes it go: readiness first, then the pod.

use std::{net::SocketAddr, time::Duration};

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::sleep;

use super::{
    ServerPod, Vantage, client_pod, delete_pod,
    service::{cluster_ip, create_service, node_port},
    set_ready,
};
use crate::{
    client::{Paced, unix_ms},
    cluster::{Cluster, eventually},
};

/// Requests in a second, over all frontends.
const RATE: u64 = 500;
/// What each client asks for: a little more than its third, so that a hiccup need not count.
const RATE_OF_EACH: u32 = 200;
/// How often an endpoint goes at least.
const ROUNDS: usize = 3;
/// And at most, until it went while the rate was held: other work of the machine may be in the way.
const MOST_ROUNDS: usize = 20;
/// How long a change may take to show on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);
/// How long there is traffic before anything happens, and goes on after the endpoint is gone: long enough that a stale choice would be
/// met.
const TRAFFIC: Duration = Duration::from_millis(500);

/// One of several endpoints becomes unready, and then is gone, while three clients make 500 requests a second on new connections: to
/// the ClusterIP, to a NodePort with policy `Cluster`, and to one with policy `Local`. No request fails, in any round, however slow the
/// machine; and in one round at least the rate was held.
pub async fn an_endpoint_that_goes_fails_no_request(cluster: &mut Cluster) -> Result<()> {
    for (pod, node) in [("web-a", "node-a"), ("web-b", "node-b")] {
        ServerPod::of("web", pod).on_node(node).create(cluster).await?;
    }
    let frontends = Frontends::create(cluster).await?;
    let mut rates = Vec::new();
    while rates.len() < ROUNDS || (rates.len() < MOST_ROUNDS && rates.iter().all(|rate| *rate < RATE)) {
        rates.push(round(cluster, &frontends, rates.len()).await?);
    }
    println!("requests per second in each round: {rates:?}");
    ensure!(
        rates.iter().any(|rate| *rate >= RATE),
        "this machine did not make {RATE} requests/s while an endpoint went: {rates:?} in the rounds"
    );
    Ok(())
}

/// Lets an endpoint come, and go under load. Returns the rate of requests from the time that it was about to go until it was gone.
async fn round(cluster: &Cluster, frontends: &Frontends, index: usize) -> Result<u64> {
    let name = format!("web-a-{index}");
    let pod = ServerPod::of("web", &name).on_node("node-a").create(cluster).await?;
    frontends.lead(cluster, &name, true).await?;
    let mut loads = Vec::new();
    for (from, target) in frontends.all() {
        loads.push(from.pace(cluster, target, RATE_OF_EACH).await?);
    }
    sleep(TRAFFIC).await;
    let begin = unix_ms();
    set_ready(cluster, &pod, false).await?;
    frontends.lead(cluster, &name, false).await?;
    delete_pod(cluster, &name).await?;
    sleep(TRAFFIC).await;
    let end = unix_ms();
    let mut seen = Vec::new();
    for load in loads {
        let paced = load.finish().await?;
        ensure!(paced.tally.failed() == 0, "requests failed: {:?}", paced.tally);
        ensure!(paced.tally.from(&name) > 0, "{name} never answered: {:?}", paced.tally);
        seen.push(paced);
    }
    Ok(rate(&seen, begin, end))
}

/// How many requests all clients together began in a second between two moments (milliseconds since 1970), on average. They are begun
/// when they are due, and not when others have ended, so that an endpoint that does not answer does not lower it at once.
fn rate(clients: &[Paced], begin: u64, end: u64) -> u64 {
    // Whole slots only.
    let slots = begin.div_ceil(Paced::SLOT_MS)..end / Paced::SLOT_MS;
    if slots.is_empty() {
        return 0;
    }
    let counts = clients.iter().flat_map(|client| client.begun.range(slots.clone()));
    let requests: u64 = counts.map(|(_slot, count)| u64::from(*count)).sum();
    requests * 1_000 / (Paced::SLOT_MS * (slots.end - slots.start))
}

/// The ways to the same pods.
struct Frontends {
    inside: Vantage,
    outside: Vantage,
    cluster_ip: SocketAddr,
    /// With policy Cluster, at the node that keeps one pod.
    everywhere: SocketAddr,
    /// With policy Local, at the node where a pod goes.
    local: SocketAddr,
}

impl Frontends {
    async fn create(cluster: &Cluster) -> Result<Self> {
        let spec = |policy| {
            json!({
                "type": "NodePort",
                "externalTrafficPolicy": policy,
                "selector": {"app": "web"},
                "ports": [{"port": 80}],
            })
        };
        let everywhere = create_service(cluster, "everywhere", spec("Cluster")).await?;
        let local = create_service(cluster, "local", spec("Local")).await?;
        Ok(Self {
            inside: Vantage::pod(&client_pod(cluster, "node-b").await?),
            outside: Vantage::Outside,
            cluster_ip: cluster_ip(&everywhere, 80)?,
            everywhere: node_port(cluster, &everywhere, "node-b", "")?,
            local: node_port(cluster, &local, "node-a", "")?,
        })
    }

    fn all(&self) -> [(&Vantage, SocketAddr); 3] {
        [
            (&self.inside, self.cluster_ip),
            (&self.outside, self.everywhere),
            (&self.outside, self.local),
        ]
    }

    /// Waits until every way leads to this pod among others, or to it no longer. Each request has two seconds, and not the short time of
    /// other probes, because this is asked under load.
    async fn lead(&self, cluster: &Cluster, pod: &str, wanted: bool) -> Result<()> {
        // By chance, one of three pods is missing in one of 17,000 such rows.
        const REQUESTS: u32 = 24;
        for (from, target) in self.all() {
            eventually(&format!("{target} leads to {pod}: {wanted}"), PATIENCE, || async {
                let tally = from.http_parallel(cluster, target, REQUESTS, 4).await?;
                let leads = tally.from(pod) > 0;
                Ok(if tally.failed() == 0 && leads == wanted {
                    Ok(())
                } else {
                    Err(format!("{tally:?}"))
                })
            })
            .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_all_clients_in_the_whole_slots_between() {
        let client = |begun: [(u64, u32); 3]| Paced {
            begun: begun.into(),
            ..Paced::default()
        };
        let clients = [
            client([(10, 30), (11, 20), (12, 0)]),
            client([(10, 30), (11, 35), (12, 9)]),
        ];
        assert_eq!(rate(&clients, 1_000, 1_200), 575, "slots 10 and 11");
        assert_eq!(rate(&clients, 1_001, 1_299), 550, "slot 11");
        assert_eq!(rate(&clients, 1_200, 1_500), 30, "nothing was begun in the last two");
        assert_eq!(rate(&clients, 1_010, 1_090), 0, "no whole slot");
    }
}
