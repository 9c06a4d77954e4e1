//! The benchmarks, and what they are to show.

use crate::results::Limit;

/// A benchmark's description.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Benchmark {
    /// As `--only` takes it.
    pub(crate) name: &'static str,
    /// What it measures.
    pub(crate) what: &'static str,
    /// What it is measured against.
    pub(crate) against: &'static str,
    /// Of both sides' figures.
    pub(crate) unit: &'static str,
    /// What the ratio is to be.
    pub(crate) limit: Option<Limit>,
}

/// Whether a name is meant by what `--only` names: the benchmark itself, or all whose names begin with it.
pub(crate) fn is_meant(name: &str, only: &[String]) -> bool {
    let begins = |prefix: &String| {
        name.strip_prefix(prefix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
    };
    only.is_empty() || only.iter().any(begins)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_for_itself_and_for_its_variants() {
        let only = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert!(is_meant("miss", &only(&[])));
        assert!(is_meant("miss_100k", &only(&["miss"])));
        assert!(!is_meant("miss", &only(&["miss_100k", "mis"])));
    }
}
