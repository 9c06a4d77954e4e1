//! Both clocks at once.

use jiff::Timestamp;
use tokio::time::Instant;

/// The same moment on the clock that measures and on the clock that is shown.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Never jumps: for durations.
    pub instant: Instant,
    /// As people write it.
    pub time: Timestamp,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        Self {
            instant: Instant::now(),
            time: Timestamp::now(),
        }
    }

    /// When a moment of the past was, by the clock that is shown.
    pub fn time_of(&self, instant: Instant) -> Timestamp {
        let ago = self.instant.saturating_duration_since(instant);
        // Not reachable: a process is younger than time is long.
        self.time.checked_sub(ago).unwrap_or(Timestamp::MIN)
    }
}
