//! What a run of the benchmarks found, as `results.json` has it.

use std::{fmt, fs, path::Path};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{catalogue::Benchmark, contest::Summary, machine::Machine};

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Results {
    /// Where and when it was measured.
    pub(crate) machine: Machine,
    /// Fewer rounds than a whole run has.
    pub(crate) quick: bool,
    /// In the order in which they ran.
    pub(crate) benchmarks: Vec<Measured>,
}

/// One benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Measured {
    /// Its name.
    pub(crate) name: String,
    /// What it measures.
    pub(crate) what: String,
    /// What it is measured against.
    pub(crate) against: String,
    /// Of `ours` and `peer`.
    pub(crate) unit: String,
    /// Median of our side.
    pub(crate) ours: f64,
    /// Median of the peer.
    pub(crate) peer: f64,
    /// Median of the rounds' ratios.
    pub(crate) ratio: f64,
    /// First and third quartile of the rounds' ratios.
    pub(crate) spread: [f64; 2],
    /// How many rounds there were.
    pub(crate) rounds: u32,
    /// What the ratio is to be, if anything was set.
    pub(crate) limit: Option<Limit>,
    /// Whether it is.
    pub(crate) met: Option<bool>,
}

/// What a ratio is to be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Limit {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
}

impl Limit {
    fn is_met(self, ratio: f64) -> bool {
        match self {
            Self::AtMost(most) => ratio <= most,
            Self::AtLeast(least) => ratio >= least,
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

impl Measured {
    /// What the rounds of a benchmark come to.
    pub(crate) fn new(benchmark: &Benchmark, summary: Summary) -> Self {
        let Summary {
            ours,
            peer,
            ratio,
            spread,
            rounds,
        } = summary;
        Self {
            name: benchmark.name.to_owned(),
            what: benchmark.what.to_owned(),
            against: benchmark.against.to_owned(),
            unit: benchmark.unit.to_owned(),
            ours,
            peer,
            ratio,
            spread,
            rounds,
            limit: benchmark.limit,
            met: benchmark.limit.map(|limit| limit.is_met(ratio)),
        }
    }
}

/// The line that a benchmark prints as it ends.
impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            unit,
            ours,
            peer,
            ratio,
            ..
        } = self;
        write!(
            f,
            "bench {name} ours={ours:.1}{unit} peer={peer:.1}{unit} ratio={ratio:.3}"
        )
    }
}

impl Results {
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).with_context(|| format!("make {}", directory.display()))?;
        }
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("read {}: `cargo xtask bench` writes it", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is of another version", path.display()))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn results() -> Results {
        let benchmark = |limit| Benchmark {
            name: "miss",
            what: "a packet of no service",
            against: "parse and one look-up",
            unit: "ns",
            limit,
        };
        let summary = Summary {
            ours: 61.25,
            peer: 50.0,
            ratio: 1.225,
            spread: [1.2, 1.24],
            rounds: 100,
        };
        Results {
            machine: crate::machine::tests::machine(),
            quick: false,
            benchmarks: [None, Some(Limit::AtMost(1.25)), Some(Limit::AtLeast(1.25))]
                .map(|limit| Measured::new(&benchmark(limit), summary))
                .into(),
        }
    }

    #[test]
    fn a_limit_is_met_or_not_and_without_one_there_is_neither() {
        let met: Vec<_> = results().benchmarks.iter().map(|measured| measured.met).collect();
        assert_eq!(met, [None, Some(true), Some(false)]);
    }

    #[test]
    fn the_line_has_units() {
        assert_eq!(
            results().benchmarks[0].to_string(),
            "bench miss ours=61.2ns peer=50.0ns ratio=1.225"
        );
    }

    #[test]
    fn what_was_written_is_read_back() {
        let path = std::env::temp_dir().join(format!("kpr-bench-{}/results.json", std::process::id()));
        results().write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("\"limit\": {\n        \"atMost\": 1.25"), "{text}");
        assert_eq!(Results::read(&path).unwrap(), results());
        fs::remove_dir_all(path.parent().unwrap()).unwrap();
        let missing = Results::read(&path).unwrap_err();
        assert!(missing.to_string().contains("cargo xtask bench"), "{missing}");
    }
}
