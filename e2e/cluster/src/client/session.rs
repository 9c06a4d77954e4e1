//! Clients that go on until they are told to finish.

use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use super::{
    Endless,
    http::{self, Connection},
    report::{Broken, Held, Started, Tally, error_name},
    udp_hold::unix_ms,
};
use crate::server::Answer;

/// Opens connections, from a port of one's own if there is but one, reports that they are up, and talks on each until `stop`.
pub(super) async fn hold(endless: &Endless, local_port: Option<u16>, stop: CancellationToken) -> Result<Held> {
    let Endless {
        target, connections, ..
    } = *endless;
    let (interval, within) = (endless.interval(), endless.within());
    let mut open = Vec::new();
    for index in 0..connections {
        let mut connection = Connection::open(target, local_port, within)
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
            broken,
        } = talk?;
        held.exchanges += exchanges;
        held.fewest_exchanges = held.fewest_exchanges.min(exchanges);
        held.slowest_ms = held
            .slowest_ms
            .max(u64::try_from(slowest.as_millis()).unwrap_or(u64::MAX));
        held.broken.extend(broken);
    }
    Ok(held)
}

struct Talk {
    exchanges: u32,
    slowest: Duration,
    broken: Option<Broken>,
}

async fn talk(mut connection: Connection, interval: Duration, within: Duration, stop: CancellationToken) -> Talk {
    let mut talk = Talk {
        exchanges: 0,
        slowest: Duration::ZERO,
        broken: None,
    };
    let mut last: Option<Answer> = None;
    // At least one exchange after the start, however soon the end is asked for.
    loop {
        let (asked, asked_ms) = (Instant::now(), unix_ms());
        match connection.ask(within).await {
            Ok(answer) => last = Some(answer),
            Err(error) => {
                talk.broken = Some(Broken {
                    local: connection.local,
                    peer: connection.peer,
                    last,
                    asked_ms,
                    error: error_name(&error),
                });
                return talk;
            }
        }
        talk.exchanges += 1;
        talk.slowest = talk.slowest.max(asked.elapsed());
        if stop.run_until_cancelled(sleep(interval)).await.is_none() {
            return talk;
        }
    }
}

/// Makes requests on new connections, several at a time, until `stop`.
pub(super) async fn load(endless: &Endless, stop: CancellationToken) -> Result<Tally> {
    let (target, parallel) = (endless.target, endless.connections);
    let (interval, within) = (endless.interval(), endless.within());
    println!("{}", serde_json::to_string(&Started { connections: parallel })?);
    let mut workers = JoinSet::new();
    for _ in 0..parallel {
        let stop = stop.clone();
        workers.spawn(async move {
            let mut tally = Tally::default();
            while !stop.is_cancelled() {
                http::once(target, None, within, &mut tally).await;
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
