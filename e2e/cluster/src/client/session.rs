//! Clients that go on until they are told to finish.

use std::{io, net::SocketAddr, time::Duration};

use anyhow::{Context as _, Result};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    http::{self, Connection},
    report::{Held, Started, Tally},
};

/// Opens `connections`, reports that they are up, and talks on each every `interval` until `stop`.
pub(super) async fn hold(
    target: SocketAddr,
    connections: u32,
    interval: Duration,
    within: Duration,
    stop: CancellationToken,
) -> Result<Held> {
    let mut open = Vec::new();
    for index in 0..connections {
        let mut connection = Connection::open(target, within)
            .await
            .with_context(|| format!("connection {index}"))?;
        connection
            .ask(within)
            .await
            .with_context(|| format!("first request on connection {index}"))?;
        open.push(connection);
    }
    println!("{}", serde_json::to_string(&Started { connections })?);
    let mut talks = JoinSet::new();
    for connection in open {
        talks.spawn(talk(connection, interval, within, stop.clone()));
    }
    let mut held = Held {
        connections,
        fewest_exchanges: u32::MAX,
        ..Held::default()
    };
    while let Some(talk) = talks.join_next().await {
        let Talk {
            exchanges,
            slowest,
            end,
        } = talk?;
        held.exchanges += exchanges;
        held.fewest_exchanges = held.fewest_exchanges.min(exchanges);
        held.slowest_ms = held
            .slowest_ms
            .max(u64::try_from(slowest.as_millis()).unwrap_or(u64::MAX));
        if let Err(error) = end {
            let mut tally = Tally::default();
            tally.add_failure(&error);
            for (name, count) in tally.failures {
                *held.broken.entry(name).or_default() += count;
            }
        }
    }
    Ok(held)
}

struct Talk {
    exchanges: u32,
    slowest: Duration,
    end: io::Result<()>,
}

async fn talk(mut connection: Connection, interval: Duration, within: Duration, stop: CancellationToken) -> Talk {
    let mut talk = Talk {
        exchanges: 0,
        slowest: Duration::ZERO,
        end: Ok(()),
    };
    // At least one exchange after the start, however soon the end is asked for.
    loop {
        let asked = Instant::now();
        if let Err(error) = connection.ask(within).await {
            talk.end = Err(error);
            return talk;
        }
        talk.exchanges += 1;
        talk.slowest = talk.slowest.max(asked.elapsed());
        if stop.run_until_cancelled(sleep(interval)).await.is_none() {
            return talk;
        }
    }
}

/// Makes requests on new connections, `parallel` at a time, until `stop`.
pub(super) async fn load(
    target: SocketAddr,
    parallel: u32,
    interval: Duration,
    within: Duration,
    stop: CancellationToken,
) -> Result<Tally> {
    println!("{}", serde_json::to_string(&Started { connections: parallel })?);
    let mut workers = JoinSet::new();
    for _ in 0..parallel {
        let stop = stop.clone();
        workers.spawn(async move {
            let mut tally = Tally::default();
            while !stop.is_cancelled() {
                http::once(target, within, &mut tally).await;
                stop.run_until_cancelled(sleep(interval)).await;
            }
            tally
        });
    }
    let mut total = Tally::default();
    while let Some(tally) = workers.join_next().await {
        total.merge(tally?);
    }
    Ok(total)
}
