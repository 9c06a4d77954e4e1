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
const RATE: u32 = 500;
/// What each client asks for: a little more than its third, so that a hiccup need not count.
const RATE_OF_EACH: u32 = 190;
/// How often an endpoint goes, until it went while the rate was held: other work of the machine may have been in the way.
const ROUNDS: usize = 8;

/// One of several endpoints becomes unready, and then is gone, while three clients make 500 requests a second on new connections: to
/// the ClusterIP, to a NodePort with policy `Cluster`, and to one with policy `Local`. No request fails, in any round; and in one round
/// at least, every second of it had its 500 requests.
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
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("web-a-{round}");
        let pod = ServerPod::of("web", &name).on_node("node-a").create(cluster).await?;
        frontends.answered_by(cluster, &["web-a", "web-b", &name]).await?;
        let begin = unix_ms();
        set_ready(cluster, &pod, false).await?;
        frontends.answered_by(cluster, &pods).await?;
        delete_pod(cluster, &name).await?;
        frontends.answered_by(cluster, &pods).await?;
        rounds.push((begin, unix_ms()));
    }
    let mut seen = Vec::new();
    for load in loads {
        let paced = load.finish().await?;
        ensure!(paced.tally.failed() == 0, "requests failed: {:?}", paced.tally);
        for round in 0..ROUNDS {
            let name = format!("web-a-{round}");
            ensure!(paced.tally.from(&name) > 0, "{name} never answered: {:?}", paced.tally);
        }
        seen.push(paced);
    }
    let slowest: Vec<u32> = rounds
        .iter()
        .map(|&(begin, end)| slowest_second(&seen, begin, end))
        .collect();
    let best = slowest.iter().max().context("no round")?;
    println!("requests in the slowest second of each round: {slowest:?}");
    ensure!(
        *best >= RATE,
        "this machine did not make {RATE} requests/s while an endpoint went: {slowest:?} in the slowest second of each round"
    );
    Ok(())
}

/// The fewest requests that all clients together began in a whole second between two moments (milliseconds since 1970), both of
/// which are in such a second.
fn slowest_second(clients: &[Paced], begin: u64, end: u64) -> u32 {
    let begun = |second| clients.iter().filter_map(|client| client.begun.get(&second)).sum();
    (begin / 1_000..=end / 1_000).map(begun).min().unwrap_or_default()
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
    fn the_slowest_second_is_that_of_all_clients_together() {
        let client = |begun: [(u64, u32); 3]| Paced {
            begun: begun.into(),
            ..Paced::default()
        };
        let clients = [
            client([(10, 300), (11, 200), (12, 0)]),
            client([(10, 300), (11, 350), (12, 9)]),
        ];
        assert_eq!(slowest_second(&clients, 10_999, 11_001), 550);
        assert_eq!(slowest_second(&clients, 10_000, 12_000), 9);
        assert_eq!(
            slowest_second(&clients, 12_000, 13_500),
            0,
            "nothing was begun in the last"
        );
    }
}
