//! Waiting for what will be true soon.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_millis(40);

/// Looks until `look` finds something, and fails after `within` with what it said last.
///
/// `look` returns `Ok(Err(reason))` for "not yet". An error ends the wait at once.
pub async fn eventually<T, F>(what: &str, within: Duration, mut look: impl FnMut() -> F) -> Result<T>
where
    F: Future<Output = Result<Result<T, String>>>,
{
    let deadline = Instant::now() + within;
    loop {
        let reason = match look().await? {
            Ok(found) => return Ok(found),
            Err(reason) => reason,
        };
        if Instant::now() >= deadline {
            bail!("{what}: not within {within:?}: {reason}");
        }
        sleep(INTERVAL).await;
    }
}
