//! Many changes, few looks.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, stream};
use tokio::sync::Notify;
use tokio::time::sleep;

use super::Signals;

/// One item for all changes within `collect` of the first. Unlike a debounce it can't be put off for ever.
pub(super) fn collected(changed: Arc<Notify>, collect: Duration) -> Signals {
    stream::unfold(changed, move |changed| async move {
        changed.notified().await;
        sleep(collect).await;
        Some(((), changed))
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn changes_that_come_together_are_one_signal() {
        let changed = Arc::new(Notify::new());
        let mut signals = collected(Arc::clone(&changed), Duration::from_millis(20));
        changed.notify_one();
        changed.notify_one();
        assert!(signals.next().await.is_some());
        let more = tokio::time::timeout(Duration::from_millis(100), signals.next()).await;
        assert!(more.is_err(), "nothing changed any more");
        changed.notify_one();
        assert!(signals.next().await.is_some());
    }
}
