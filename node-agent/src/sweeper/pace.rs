//! When to sweep next. Pure.

use std::time::Duration;

use crate::datapath::Sweep;

/// The shortest pause: a flood of flows that end at once is worth a sweep each second.
const SHORTEST: Duration = Duration::from_secs(1);
/// The longest pause: the idle time of an answered datagram. A closed connection keeps its source port for so long, unless somebody
/// is in need of one.
const LONGEST: Duration = Duration::from_mins(2);
/// The first pause, and the longest one while the table is more than half full.
const USUAL: Duration = Duration::from_secs(30);
/// Of its time the thread spends one part in so many on sweeping, or less.
const SHARE_OF_TIME: u32 = 20;

/// The pause between two sweeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    pause: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { pause: USUAL }
    }
}

impl Pace {
    /// The pause that was decided on last.
    pub fn pause(&self) -> Duration {
        self.pause
    }

    /// Decides how long to wait after sweeps of all tables, which took `took` together. `hurried`: flows were refused for want of
    /// room since the sweep before.
    ///
    /// Faster, the more of what was found had expired, and where a table fills up; slower while little happens.
    pub fn after(&mut self, sweeps: &[Sweep], took: Duration, hurried: bool) -> Duration {
        // Of the table that needs it most.
        let of_all = |share: fn(&Sweep) -> u64| sweeps.iter().map(share).max().unwrap_or(0);
        let full = of_all(|sweep| percent(sweep.live, sweep.capacity));
        let expired = of_all(|sweep| percent(sweep.expired, sweep.live.saturating_add(sweep.expired)));
        let longest = if full > 50 { USUAL } else { LONGEST };
        self.pause = if hurried || full > 90 {
            SHORTEST
        } else if full > 75 || expired > 25 {
            self.pause / 2
        } else if expired < 5 {
            self.pause * 3 / 2
        } else {
            self.pause
        };
        self.pause = self.pause.clamp(SHORTEST, longest).max(took * SHARE_OF_TIME);
        self.pause
    }
}

fn percent(part: u32, whole: u32) -> u64 {
    (u64::from(part) * 100).checked_div(u64::from(whole)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INSTANT: Duration = Duration::ZERO;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn sweep(live: u32, expired: u32) -> Sweep {
        Sweep {
            live,
            expired,
            capacity: 1_000,
            fullest: None,
            from_pods: false,
            encapsulated: false,
            lingers: None,
        }
    }

    #[test]
    fn the_pause_follows_what_was_found() {
        for (what, found, hurried, next) in [
            ("nothing happens", sweep(0, 0), false, 45),
            ("few of many flows ended", sweep(400, 10), false, 45),
            ("some ended", sweep(100, 10), false, 30),
            ("many ended", sweep(100, 50), false, 15),
            ("the table is more than half full", sweep(600, 0), false, 30),
            ("the table fills up", sweep(800, 0), false, 15),
            ("the table is nearly full", sweep(950, 0), false, 1),
            ("flows were refused", sweep(10, 0), true, 1),
        ] {
            let mut pace = Pace::default();
            assert_eq!(pace.after(&[found], INSTANT, hurried), seconds(next), "{what}");
            assert_eq!(pace.pause(), seconds(next));
        }
    }

    #[test]
    fn the_table_that_needs_it_most_decides() {
        let mut pace = Pace::default();
        assert_eq!(pace.after(&[sweep(0, 0), sweep(950, 0)], INSTANT, false), seconds(1));
    }

    #[test]
    fn the_pause_stays_within_bounds_and_comes_back() {
        let mut pace = Pace::default();
        for _ in 0..20 {
            pace.after(&[sweep(0, 0)], INSTANT, false);
        }
        assert_eq!(pace.pause(), LONGEST);
        for _ in 0..20 {
            pace.after(&[sweep(10, 90)], INSTANT, false);
        }
        assert_eq!(pace.pause(), SHORTEST);
        pace.after(&[sweep(10, 0)], INSTANT, false);
        assert!(pace.pause() > SHORTEST);
    }

    #[test]
    fn sweeping_takes_a_small_part_of_the_time_however_large_the_table() {
        let mut pace = Pace::default();
        assert_eq!(pace.after(&[sweep(950, 0)], seconds(2), true), seconds(40));
    }

    #[test]
    fn a_table_without_room_is_no_division_by_nothing() {
        let mut pace = Pace::default();
        pace.after(&[Sweep::default()], INSTANT, false);
        pace.after(&[], INSTANT, false);
    }
}
