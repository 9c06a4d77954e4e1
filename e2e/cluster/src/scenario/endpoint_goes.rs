//! An endpoint that goes away under load, as a rolling update or a node's drain makes it go: readiness first, then the pod.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::{
    ServerPod, Vantage, client_pod, delete_pod,
    probe::Probe,
    service::{cluster_ip, create_service, node_port},
    set_ready,
};
use crate::{
    client::{Paced, unix_ms},
    cluster::Cluster,
};

/// Requests in a second, over all frontends.
const RATE: u64 = 500;
/// What each client asks for: a little more than its third, so that a hiccup need not count.
const RATE_OF_EACH: u32 = 190;
/// How often an endpoint goes, until it went while the rate was held: other work of the machine may have been in the way.
const ROUNDS: usize = 5;

/// One of several endpoints becomes unready, and then is gone, while three clients make 500 requests a second on new connections: to
/// the ClusterIP, to a NodePort with policy `Cluster`, and to one with policy `Local`. No request fails, in any round; and in one round
/// at least the rate was held.
pub async fn an_endpoint_that_goes_fails_no_request(cluster: &mut Cluster) -> Result<()> {
    let pods = ["web-a", "web-b"];
    for (pod, node) in [("web-a", "node-a"), ("web-b", "node-b")] {
        ServerPod::of("web", pod).on_node(node).create(cluster).await?;
    }
    let frontends = Frontends::create(cluster, &pods).await?;
    let mut loads = Vec::new();
    for (from, target) in frontends.all() {
        loads.push(from.pace(cluster, target, RATE_OF_EACH).await?);
    }
    let rounds = rounds(cluster, &frontends, &pods).await;
    let mut seen = Vec::new();
    for load in loads {
        seen.push(load.finish().await?);
    }
    let rounds = rounds.with_context(|| format!("under this load: {seen:?}"))?;
    for Paced { tally, .. } in &seen {
        ensure!(tally.failed() == 0, "requests failed: {tally:?}");
        for round in 0..ROUNDS {
            ensure!(
                tally.from(&name(round)) > 0,
                "{} never answered: {tally:?}",
                name(round)
            );
        }
    }
    let rates: Vec<u64> = rounds.iter().map(|&(begin, end)| rate(&seen, begin, end)).collect();
    println!("requests per second in each round: {rates:?}");
    ensure!(
        rates.iter().any(|&rate| rate >= RATE),
        "this machine did not make {RATE} requests/s while an endpoint went: {rates:?} in the rounds"
    );
    Ok(())
}

/// Lets an endpoint come and go, again and again; returns when each was about to go, and when nothing was left of it (milliseconds
/// since 1970).
async fn rounds(cluster: &Cluster, frontends: &Frontends, pods: &[&str]) -> Result<Vec<(u64, u64)>> {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let name = name(round);
        let pod = ServerPod::of("web", &name).on_node("node-a").create(cluster).await?;
        frontends.answered_by(cluster, &[pods, &[&name]].concat()).await?;
        let begin = unix_ms();
        set_ready(cluster, &pod, false).await?;
        frontends.answered_by(cluster, pods).await?;
        delete_pod(cluster, &name).await?;
        frontends.answered_by(cluster, pods).await?;
        rounds.push((begin, unix_ms()));
    }
    Ok(rounds)
}

fn name(round: usize) -> String {
    format!("web-a-{round}")
}

/// How many requests all clients together began in each second of those in which a round was (its begin and end in milliseconds
/// since 1970), on average. They are begun when they are due, and not when others have ended, so that endpoints that do not answer
/// cannot lower it.
fn rate(clients: &[Paced], begin: u64, end: u64) -> u64 {
    let seconds = begin / 1_000..=end / 1_000;
    let begun = clients.iter().flat_map(|client| client.begun.range(seconds.clone()));
    let begun: u64 = begun.map(|(_second, count)| u64::from(*count)).sum();
    begun / (end / 1_000 - begin / 1_000 + 1)
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
    /// Waits until they serve these pods.
    async fn create(cluster: &Cluster, pods: &[&str]) -> Result<Self> {
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
        let frontends = Self {
            inside: Vantage::pod(&client_pod(cluster, "node-b").await?),
            outside: Vantage::Outside,
            cluster_ip: cluster_ip(&everywhere, 80)?,
            everywhere: node_port(cluster, &everywhere, "node-b", "")?,
            local: node_port(cluster, &local, "node-a", "")?,
        };
        frontends.answered_by(cluster, pods).await?;
        Ok(frontends)
    }

    fn all(&self) -> [(&Vantage, SocketAddr); 3] {
        [
            (&self.inside, self.cluster_ip),
            (&self.outside, self.everywhere),
            (&self.outside, self.local),
        ]
    }

    /// Waits until exactly these pods answer everywhere: with policy Local, those of node-a.
    async fn answered_by(&self, cluster: &Cluster, pods: &[&str]) -> Result<()> {
        let here: Vec<&str> = pods.iter().copied().filter(|pod| pod.starts_with("web-a")).collect();
        for (from, target) in self.all() {
            let pods = if target == self.local { &here[..] } else { pods };
            Probe::tcp(cluster, from, target).answered_by(pods).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_all_clients_in_the_seconds_of_the_round() {
        let client = |begun: [(u64, u32); 3]| Paced {
            begun: begun.into(),
            ..Paced::default()
        };
        let clients = [
            client([(10, 300), (11, 200), (12, 0)]),
            client([(10, 300), (11, 350), (12, 9)]),
        ];
        assert_eq!(rate(&clients, 10_999, 11_001), 575);
        assert_eq!(rate(&clients, 11_000, 11_000), 550);
        assert_eq!(rate(&clients, 12_000, 14_500), 3, "nothing was begun in the last two");
    }
}
