//! Requests at a rate, on new connections: begun when they are due and not when others have ended.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Result;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{
    report::{Paced, Started, Tally},
    unix_ms,
};
use crate::server::Answer;

/// Requests under way at a time. A machine that cannot keep up falls behind the rate, which the report shows, and is not drowned.
const UNDER_WAY: usize = 48;

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
        *paced.begun.entry(unix_ms() / Paced::SLOT_MS).or_default() += 1;
        requests.spawn(async move {
            let mut tally = Tally::default();
            match timeout(within, request(target))
                .await
                .unwrap_or_else(|late| Err(late.into()))
            {
                Ok(answer) => tally.add_answer(&answer),
                Err(error) => tally.add_failure(&error),
            }
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

/// One HTTP request on a connection of its own, by hand: a client library would take most of the processor.
async fn request(target: SocketAddr) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(target).await?;
    let request = format!("GET /json HTTP/1.1\r\nHost: {target}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;
    let response = String::from_utf8_lossy(&response);
    match response.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(serde_json::from_str(body)?),
        _ => Err(io::Error::other(format!(
            "no answer: {}",
            response.lines().next().unwrap_or_default()
        ))),
    }
}
