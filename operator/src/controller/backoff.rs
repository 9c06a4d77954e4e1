//! How long to wait after an object could not be written.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(250);
const LONGEST: Duration = Duration::from_mins(1);
const CONFLICT: Duration = Duration::from_millis(50);

/// The wait after so many failures in a row: doubled each time, at most a minute. A conflict means that a newer object is
/// on its way to us, so the first ones are tried again soon.
pub(super) fn delay(failures: u32, conflict: bool) -> Duration {
    let first = if conflict { CONFLICT } else { FIRST };
    let doubled = 1u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
    first.checked_mul(doubled).map_or(LONGEST, |delay| delay.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_up_to_a_minute() {
        let millis: Vec<_> = (1..12).map(|failures| delay(failures, false).as_millis()).collect();
        assert_eq!(
            millis,
            [250, 500, 1000, 2000, 4000, 8000, 16000, 32000, 60000, 60000, 60000]
        );
        assert_eq!(delay(u32::MAX, false), LONGEST);
    }

    #[test]
    fn conflicts_are_tried_again_soon() {
        assert_eq!(delay(1, true), CONFLICT);
    }
}
