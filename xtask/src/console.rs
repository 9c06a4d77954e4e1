//! What the user sees of xtask itself. Everything goes to stderr: stdout belongs to the commands that xtask runs.

use std::time::Duration;

/// Announce a piece of work.
pub(crate) fn step(text: &str) {
    eprintln!("==> {text}");
}

/// A detail of the current piece of work.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// `59.2 s`, `2 min 05 s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_naturally() {
        assert_eq!(duration(Duration::from_millis(1_240)), "1.2 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 05 s");
    }
}
