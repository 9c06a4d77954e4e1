//! What stages came to, and the summary that is printed at the end (pure).

use std::{fmt, time::Duration};

use super::results::Counts;
use crate::console;

/// What one stage came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    passed: u32,
    failed: u32,
    /// What to tell beside the numbers.
    note: Option<String>,
}

impl Outcome {
    /// A check that is no test binary, and passed.
    pub(crate) fn good() -> Self {
        Self {
            passed: 1,
            failed: 0,
            note: None,
        }
    }

    /// Something that could not be done on this machine, and need not be.
    pub(crate) fn skipped(why: &str) -> Self {
        Self {
            passed: 0,
            failed: 0,
            note: Some(format!("skipped: {why}")),
        }
    }

    /// A check, or the build of tests, that failed.
    pub(crate) fn broken(why: String) -> Self {
        Self {
            passed: 0,
            failed: 1,
            note: Some(why),
        }
    }

    /// Test binaries that ran. A failure that no binary counted (a build error, a crash) counts as one, and so does
    /// a stage in which no test ran: a stage that tests nothing must not look like one that passed.
    pub(crate) fn of_tests(counts: Counts, succeeded: bool) -> Self {
        let Counts {
            passed,
            failed,
            ignored,
        } = counts;
        let (uncounted, mut note) = match (succeeded, failed) {
            (false, 0) => (1, Some("a test did not build or crashed: see above".to_owned())),
            (_, 0) if passed == 0 => (1, Some("no test ran".to_owned())),
            _ => (0, None),
        };
        if ignored > 0 && note.is_none() {
            note = Some(format!("{ignored} ignored"));
        }
        Self {
            passed,
            failed: failed + uncounted,
            note,
        }
    }
    /// Did everything in it pass?
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0
    }
}

/// All stages of a run.
#[derive(Debug, Default)]
pub(crate) struct Report {
    stages: Vec<(&'static str, Outcome, Duration)>,
}

impl Report {
    pub(crate) fn add(&mut self, title: &'static str, outcome: Outcome, took: Duration) {
        self.stages.push((title, outcome, took));
    }

    pub(crate) fn is_good(&self) -> bool {
        self.stages.iter().all(|(_, outcome, _)| outcome.is_good())
    }

    fn totals(&self) -> (u32, u32) {
        self.stages.iter().fold((0, 0), |(passed, failed), (_, outcome, _)| {
            (passed + outcome.passed, failed + outcome.failed)
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (title, outcome, took)) in self.stages.iter().enumerate() {
            let verdict = if outcome.is_good() { "ok" } else { "FAILED" };
            let Outcome { passed, failed, note } = outcome;
            let took = console::duration(*took);
            write!(
                f,
                "{:>2}. {title:<34} {verdict:<6} {passed:>5} passed {failed:>3} failed  {took:>12}",
                index + 1
            )?;
            match note.as_deref().and_then(|note| note.lines().next()) {
                Some(note) => writeln!(f, "  ({note})")?,
                None => writeln!(f)?,
            }
        }
        let (passed, failed) = self.totals();
        writeln!(f, "{passed} passed, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(passed: u32, failed: u32) -> Counts {
        Counts {
            passed,
            failed,
            ignored: 0,
        }
    }

    #[test]
    fn a_stage_passes_only_if_tests_ran_and_none_failed() {
        for (counts, succeeded, failed) in [
            (counts(3, 0), true, 0),
            (counts(3, 2), false, 2),
            (counts(3, 0), false, 1), // a later binary did not build
            (counts(0, 0), true, 1),  // nothing was tested
            (counts(0, 0), false, 1),
        ] {
            assert_eq!(
                Outcome::of_tests(counts, succeeded).failed,
                failed,
                "{counts:?} {succeeded}"
            );
        }
    }

    #[test]
    fn ignored_tests_are_told() {
        let outcome = Outcome::of_tests(
            Counts {
                passed: 1,
                failed: 0,
                ignored: 2,
            },
            true,
        );
        assert_eq!(outcome.note.as_deref(), Some("2 ignored"));
    }

    #[test]
    fn the_last_line_of_the_summary_is_the_sum_of_all_stages() {
        let mut report = Report::default();
        report.add("formatting", Outcome::good(), Duration::from_secs(1));
        report.add(
            "unit tests",
            Outcome::of_tests(counts(40, 0), true),
            Duration::from_secs(70),
        );
        report.add("clippy", Outcome::skipped("no clippy"), Duration::ZERO);
        assert!(report.is_good());
        assert!(report.to_string().ends_with("\n41 passed, 0 failed\n"), "{report}");

        report.add(
            "scenarios",
            Outcome::broken("cannot build\nmore".to_owned()),
            Duration::ZERO,
        );
        assert!(!report.is_good());
        assert!(
            report.to_string().ends_with("(cannot build)\n41 passed, 1 failed\n"),
            "{report}"
        );
    }
}
