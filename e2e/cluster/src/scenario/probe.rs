//! What a client expects of a target, and waits for.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result, ensure};

use super::Vantage;
use crate::{
    client::{Tally, UdpStyle},
    cluster::{Cluster, eventually},
};

/// How long a change may take to show in traffic.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often traffic must show the same before it is believed that something does *not* happen.
const REPEAT: usize = 5;
/// How many answers in a row make a client believe in affinity: of two pods, one in 16 million such rows comes without it.
const STICKY: u32 = 25;

/// A client and where it asks.
#[derive(Clone, Copy)]
pub struct Probe<'p> {
    cluster: &'p Cluster,
    from: &'p Vantage,
    target: SocketAddr,
    udp: bool,
}

impl<'p> Probe<'p> {
    /// Asks by HTTP, each time on a new connection.
    pub fn tcp(cluster: &'p Cluster, from: &'p Vantage, target: SocketAddr) -> Self {
        Self {
            cluster,
            from,
            target,
            udp: false,
        }
    }

    /// Asks by datagrams, each from a new connected socket.
    pub fn udp(cluster: &'p Cluster, from: &'p Vantage, target: SocketAddr) -> Self {
        Self {
            udp: true,
            ..Self::tcp(cluster, from, target)
        }
    }

    /// Asks `count` times, whatever comes.
    pub async fn ask(&self, count: u32) -> Result<Tally> {
        let Self {
            cluster,
            from,
            target,
            udp,
        } = *self;
        if udp {
            from.udp(cluster, target, UdpStyle::Connected, count).await
        } else {
            from.http_parallel(cluster, target, count, 8).await
        }
    }

    /// Waits until all of these pods, and nobody else, answer, and nothing fails.
    pub async fn answered_by<P: AsRef<str>>(&self, pods: &[P]) -> Result<Tally> {
        let names: BTreeSet<&str> = pods.iter().map(AsRef::as_ref).collect();
        // The chance that one of them is never chosen is below 1 in 10,000, and then it is tried again.
        let count = 16 * u32::try_from(names.len()).context("too many pods")?;
        eventually(&format!("{names:?} answer {self}"), PATIENCE, || async {
            let first = self.once().await?;
            if first.failed() > 0 {
                return Ok(Err(format!("{first:?}")));
            }
            let tally = self.ask(count).await?;
            let answered: BTreeSet<&str> = tally.answers.keys().map(String::as_str).collect();
            Ok(if tally.failed() == 0 && answered == names {
                Ok(tally)
            } else {
                Err(format!("{tally:?}"))
            })
        })
        .await
    }

    /// Waits until it is refused, as kube-proxy's REJECT does; from then on it must be every time. Of datagrams one is proof enough:
    /// nodes limit how many ICMP errors they send to one address (`net.ipv4.icmp_ratelimit`).
    pub async fn refused(&self) -> Result<()> {
        let refused = |tally: &Tally| tally.failures.contains_key("ECONNREFUSED");
        if !self.udp {
            return self.settles("refused", refused).await;
        }
        self.becomes("refused", refused, async || self.once().await).await?;
        self.unanswered().await
    }

    /// Waits until nobody answers, refused or not.
    pub async fn unanswered(&self) -> Result<()> {
        self.silent("unanswered", |tally| tally.answered() == 0).await
    }

    /// Waits until nobody answers and nobody refuses, as with kube-proxy's DROP.
    pub async fn dropped(&self) -> Result<()> {
        let dropped = |tally: &Tally| tally.failures.keys().eq(["ETIMEDOUT"]) && tally.answered() == 0;
        self.silent("dropped", dropped).await
    }

    /// Waits until several requests at once, each with time enough, all come to this. A single one that is late proves nothing.
    async fn silent(&self, what: &str, holds: impl Fn(&Tally) -> bool) -> Result<()> {
        let knock = async || self.from.knock(self.cluster, self.target, self.udp).await;
        self.becomes(what, holds, knock).await
    }

    /// Waits until its calls fail as they do where only other nodes have an endpoint and the traffic policy is Local: a packet
    /// would be dropped, but a socket's call is told so (EHOSTUNREACH), and not that it is refused.
    pub async fn not_from_here(&self) -> Result<()> {
        self.settles("not served from here", |tally| {
            tally.failures.contains_key("EHOSTUNREACH")
        })
        .await
    }

    async fn settles(&self, what: &str, holds: impl Fn(&Tally) -> bool) -> Result<()> {
        self.becomes(what, &holds, async || self.once().await).await?;
        for _ in 1..REPEAT {
            let tally = self.once().await?;
            ensure!(holds(&tally), "{self} was {what}, and then was not: {tally:?}");
        }
        Ok(())
    }

    /// Waits until what comes of `ask` is as it should be.
    async fn becomes(
        &self,
        what: &str,
        holds: impl Fn(&Tally) -> bool,
        ask: impl AsyncFn() -> Result<Tally>,
    ) -> Result<()> {
        let (holds, ask) = (&holds, &ask);
        eventually(&format!("{self} is {what}"), PATIENCE, || async move {
            let tally = ask().await?;
            Ok(if holds(&tally) {
                Ok(())
            } else {
                Err(format!("{tally:?}"))
            })
        })
        .await
    }

    /// Asks `count` times, one after the other: one and the same pod must answer all. Returns it.
    pub async fn sticks(&self, count: u32) -> Result<String> {
        let Self {
            cluster,
            from,
            target,
            udp,
        } = *self;
        let tally = if udp {
            from.udp(cluster, target, UdpStyle::Connected, count).await?
        } else {
            from.http(cluster, target, count).await?
        };
        match tally.answers.first_key_value() {
            Some((pod, answers)) if *answers == count => Ok(pod.clone()),
            _ => anyhow::bail!("{self}: not {count} answers of one pod: {tally:?}"),
        }
    }

    /// Waits until one and the same pod answers many times. Returns it. That others would do so by chance is as good as impossible.
    pub async fn sticks_eventually(&self) -> Result<String> {
        eventually(&format!("one pod answers {self}"), PATIENCE, || async {
            let tally = self.ask(STICKY).await?;
            Ok(match tally.answers.first_key_value() {
                Some((pod, answers)) if *answers == STICKY => Ok(pod.clone()),
                _ => Err(format!("{tally:?}")),
            })
        })
        .await
    }

    async fn once(&self) -> Result<Tally> {
        self.from.probe(self.cluster, self.target, self.udp).await
    }
}

impl std::fmt::Display for Probe<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = if self.udp { "UDP" } else { "TCP" };
        write!(formatter, "{protocol} from {} to {}", self.from, self.target)
    }
}
