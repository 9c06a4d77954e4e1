//! Requests at a rate, on new connections: begun when they are due and not when others have ended.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    http,
    report::{Paced, Started, Tally},
    unix_ms,
};

/// Requests under way at a time. A machine that cannot keep up falls behind the rate, which the report shows, and is not drowned.
const UNDER_WAY: usize = 128;

/// Begins `per_second` requests to `target` each second until `stop`, and reports when they were begun.
pub(super) async fn paced(
    target: SocketAddr,
    per_second: u32,
    within: Duration,
    stop: CancellationToken,
) -> Result<Paced> {
    println!("{}", serde_json::to_string(&Started { connections: 1 })?);
    let interval = Duration::from_secs(1) / per_second.max(1);
    let room = Arc::new(Semaphore::new(UNDER_WAY));
    let mut requests = JoinSet::new();
    let mut paced = Paced::default();
    let mut due = Instant::now();
    while !stop.is_cancelled() {
        // One that is late is begun at once, and the next ones catch up.
        sleep_until(due).await;
        due += interval;
        let permit = Arc::clone(&room).acquire_owned().await?;
        *paced.begun.entry(unix_ms() / 1_000).or_default() += 1;
        requests.spawn(async move {
            let mut tally = Tally::default();
            http::once(target, within, &mut tally).await;
            drop(permit);
            tally
        });
        while let Some(ended) = requests.try_join_next() {
            paced.tally.merge(ended?);
        }
    }
    while let Some(ended) = requests.join_next().await {
        paced.tally.merge(ended?);
    }
    Ok(paced)
}
