//! Reading what the test harness prints (pure).

use std::collections::BTreeMap;

/// Test counts, summed over test binaries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u32,
    pub(crate) failed: u32,
    pub(crate) ignored: u32,
}

impl Counts {
    /// Add what a line says if it is the last line of a test binary:
    /// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
    pub(crate) fn add_line(&mut self, line: &str) {
        let Some((_verdict, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for part in counts.split("; ") {
            match part.split_once(' ').map(|(number, what)| (number.parse::<u32>(), what)) {
                Some((Ok(number), "passed")) => self.passed += number,
                Some((Ok(number), "failed")) => self.failed += number,
                Some((Ok(number), "ignored")) => self.ignored += number,
                _ => {}
            }
        }
    }
}

/// What became of each test, by name. Of tests in several targets that are called the same, the worst is known.
#[derive(Debug, Default)]
pub(crate) struct Verdicts {
    passed: BTreeMap<String, bool>,
    /// The test whose line has begun, and is not at its end yet.
    running: Option<String>,
}

impl Verdicts {
    /// Add what a line says about a test: `test name ... ok`. Where the test's own children print between the two halves, the
    /// verdict comes at the beginning of a later line.
    pub(crate) fn add_line(&mut self, line: &str) {
        let started = line.strip_prefix("test ").and_then(|rest| rest.split_once(" ... "));
        let (name, said) = match (started, self.running.take()) {
            (Some((name, said)), _) => (name.trim_end_matches(" - should panic").to_owned(), said),
            (None, Some(name)) => (name, line),
            (None, None) => return,
        };
        let passed = match said {
            "ok" => true,
            _ if said == "FAILED" || said == "ignored" || said.starts_with("ignored, ") => false,
            _ => {
                self.running = Some(name);
                return;
            }
        };
        let known = self.passed.entry(name).or_insert(true);
        *known &= passed;
    }

    /// Whether the test of this name passed; none if it did not run to its end.
    pub(crate) fn passed(&self, test: &str) -> Option<bool> {
        self.passed.get(test).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_test_has_its_verdict() {
        let mut verdicts = Verdicts::default();
        for line in [
            "running 6 tests",
            "test good ... ok",
            "test bad ... FAILED",
            "test asleep ... ignored, it needs a moon",
            "test twice ... FAILED",
            "test noisy ... a child's words",
            "and more of them",
            "ok",
            "test result: FAILED. 2 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1.20s",
            "test twice ... ok",
            "ok",
            "test cut_short ... ",
        ] {
            verdicts.add_line(line);
        }
        for (test, passed) in [
            ("good", Some(true)),
            ("bad", Some(false)),
            ("asleep", Some(false)),
            ("twice", Some(false)),
            ("noisy", Some(true)),
            ("cut_short", None),
            ("unknown", None),
        ] {
            assert_eq!(verdicts.passed(test), passed, "{test}");
        }
    }

    #[test]
    fn the_last_lines_of_test_binaries_are_summed_up() {
        let mut counts = Counts::default();
        for line in [
            "running 3 tests",
            "test result is computed ... ok",
            "test result: ok. 3 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: FAILED. 2 passed; 1 failed; 4 ignored; 0 measured; 7 filtered out; finished in 1.20s",
        ] {
            counts.add_line(line);
        }
        assert_eq!(
            counts,
            Counts {
                passed: 5,
                failed: 1,
                ignored: 4
            }
        );
    }

    #[test]
    fn a_line_that_only_looks_similar_counts_nothing() {
        let mut counts = Counts::default();
        counts.add_line("test result: ok");
        counts.add_line("  test result: ok. 3 passed; 0 failed");
        counts.add_line("test result: ok. many passed; 0 failed");
        assert_eq!(counts, Counts::default());
    }
}
