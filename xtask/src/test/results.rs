//! Reading what the test harness prints (pure).

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

#[cfg(test)]
mod tests {
    use super::*;

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
