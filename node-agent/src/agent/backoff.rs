//! When to try again what failed.

use std::time::Duration;

use tokio::time::Instant;

/// Longer and longer pauses. No jitter: what is tried again here is this node's own kernel, not a shared server.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    first: Duration,
    longest: Duration,
    next: Duration,
    until: Option<Instant>,
}

impl Backoff {
    /// Pauses from `first` on, doubled up to `longest`.
    pub(super) fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            next: first,
            until: None,
        }
    }

    /// It failed: not before the pause is over.
    pub(super) fn failed(&mut self, now: Instant) {
        self.until = Some(now + self.next);
        self.next = (self.next * 2).min(self.longest);
    }

    /// It worked, or something changed so that it may work now.
    pub(super) fn reset(&mut self) {
        self.next = self.first;
        self.until = None;
    }

    /// When the pause ends; none while there is none.
    pub(super) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// Whether it may be tried now.
    pub(super) fn ready(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_start_over_after_success() {
        let now = Instant::now();
        let seconds = |n| Duration::from_secs(n);
        let mut backoff = Backoff::new(seconds(1), seconds(3));
        assert!(backoff.ready(now));
        for pause in [1, 2, 3, 3] {
            backoff.failed(now);
            assert_eq!(backoff.until(), Some(now + seconds(pause)));
            assert!(!backoff.ready(now));
        }
        backoff.reset();
        assert!(backoff.ready(now));
        backoff.failed(now);
        assert_eq!(backoff.until(), Some(now + seconds(1)));
    }
}
