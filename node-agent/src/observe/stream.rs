//! An answer that does not end by itself: lines of JSON.

use std::{convert::Infallible, time::Duration};

use axum::body::Body;
use futures::{StreamExt, stream};
use hyper::body::Bytes;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::events::{Line, Listening};

/// So often at least there is a line: a reader that is gone is found out.
const QUIET: Duration = Duration::from_secs(5);

/// What the listener is sent, until it is gone or the agent stops.
pub(super) fn lines(listening: Listening, stop: CancellationToken) -> Body {
    let lines = stream::unfold(listening, |mut listening| async {
        let line = match timeout(QUIET, listening.next()).await {
            Ok(line) => line?,
            Err(_) => Line::Alive,
        };
        Some((Ok::<_, Infallible>(encode(&line)), listening))
    });
    Body::from_stream(lines.take_until(stop.cancelled_owned()))
}

fn encode(line: &Line) -> Bytes {
    // Made of strings and numbers: it can be written.
    let mut text = serde_json::to_vec(line).unwrap_or_default();
    text.push(b'\n');
    text.into()
}
