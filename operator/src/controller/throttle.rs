//! Not every change of a status is worth a write of its own.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// When the status of each policy was written last. While nodes change one after the other, what they say together is
/// written once per interval.
#[derive(Debug)]
pub(super) struct Throttle {
    interval: Duration,
    written: Mutex<HashMap<String, Instant>>,
}

impl Throttle {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            written: Mutex::default(),
        }
    }

    /// How long it takes until the next write; none if it may be written now.
    pub(super) fn left(&self, policy: &str, now: Instant) -> Option<Duration> {
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.interval.checked_sub(now.duration_since(*written.get(policy)?))?;
        (!left.is_zero()).then_some(left)
    }

    /// It was written.
    pub(super) fn wrote(&self, policy: &str, now: Instant) {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        written.insert(policy.to_owned(), now);
    }

    /// The policy goes.
    pub(super) fn forget(&self, policy: &str) {
        self.written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(policy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_write_is_made_at_once_and_the_next_when_the_interval_is_over() {
        let throttle = Throttle::new(Duration::from_secs(3));
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(throttle.left("default", start), None);
        throttle.wrote("default", start);
        assert_eq!(throttle.left("default", after(1)), Some(Duration::from_secs(2)));
        assert_eq!(throttle.left("other", after(1)), None);
        assert_eq!(throttle.left("default", after(3)), None);
        throttle.forget("default");
        assert_eq!(throttle.left("default", after(1)), None);
    }
}
