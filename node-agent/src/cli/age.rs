//! Ages as the reference prints them: `19s`, `3m20s`, `5h2m`, `3d4h`.

use jiff::{SignedDuration, Timestamp};

/// How long before `now` something happened, in its two largest units; "never" if it did not.
pub(super) fn ago(then: Option<Timestamp>, now: Timestamp) -> String {
    then.map_or_else(
        || "never".to_owned(),
        |then| format!("{} ago", span(now.duration_since(then))),
    )
}

/// A duration in its two largest units. One that runs backwards (a clock was set) counts as none.
pub(super) fn span(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes, seconds % 60) {
        (0, 0, 0, s) => format!("{s}s"),
        (0, 0, m, s) => format!("{m}m{s}s"),
        (0, h, m, _) => format!("{h}h{m}m"),
        (d, h, _, _) => format!("{d}d{h}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_show_their_two_largest_units() {
        let table = [
            (-5, "0s"),
            (0, "0s"),
            (59, "59s"),
            (200, "3m20s"),
            (18_120, "5h2m"),
            (273_600, "3d4h"),
        ];
        for (seconds, shown) in table {
            assert_eq!(span(SignedDuration::from_secs(seconds)), shown, "{seconds} s");
        }
    }

    #[test]
    fn what_never_happened_says_so() {
        let now = Timestamp::from_second(100).unwrap();
        assert_eq!(ago(None, now), "never");
        assert_eq!(ago(Timestamp::from_second(81).ok(), now), "19s ago");
    }
}
