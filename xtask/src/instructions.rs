//! `cargo xtask instructions`: holds the number of instructions that packets take against the record in the repository.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf, process::ExitCode};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::{
    build, console,
    kernels::{self, Counted},
    layout::Layout,
    probe, setup,
    toolchain::ToolchainChoice,
};

/// How much more than its record a benchmark may take, in hundredths: compilers and kernels change a little.
const MARGIN: u64 = 5;

/// What the repository has of an earlier count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    /// The kernel's package, for whoever wonders about a difference.
    kernel: String,
    instructions: BTreeMap<String, u64>,
}

pub(crate) fn run(layout: &Layout, record: bool, choice: ToolchainChoice) -> Result<ExitCode> {
    probe::require_root("installing an emulator")?;
    setup::run(layout, choice)?;
    build::bpf(layout, choice)?;
    build::user_space(layout, false)?;
    if record {
        return write(layout, kernels::count(layout)?).map(|()| ExitCode::SUCCESS);
    }
    let differences = check(layout)?;
    for difference in &differences {
        eprintln!("{difference}");
    }
    Ok(if differences.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Counts, and tells what takes more than it may. The binaries are built already.
pub(crate) fn check(layout: &Layout) -> Result<Vec<String>> {
    let counted = kernels::count(layout)?;
    let record = read(layout)?;
    print!("{}", table(&record, &counted));
    Ok(compare(&record, &counted))
}

fn path(layout: &Layout) -> PathBuf {
    layout.root.join("e2e/bench/instructions.json")
}

fn read(layout: &Layout) -> Result<Record> {
    let path = path(layout);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is no record", path.display()))
}

fn write(layout: &Layout, Counted { kernel, instructions }: Counted) -> Result<()> {
    let path = path(layout);
    let text = serde_json::to_string_pretty(&Record { kernel, instructions })? + "\n";
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    console::note(&format!("{} written", path.display()));
    Ok(())
}

/// A sentence for each benchmark that takes more than its record allows, or that only one side has.
fn compare(record: &Record, counted: &Counted) -> Vec<String> {
    const HOW: &str = "`cargo xtask instructions --record` raises the record, if that is meant";
    let mut found = Vec::new();
    for (name, &now) in &counted.instructions {
        match record.instructions.get(name) {
            Some(&before) if now * 100 > before * (100 + MARGIN) => {
                found.push(format!("{name} takes {now} instructions, and took {before}: {HOW}"));
            }
            Some(_) => {}
            None => found.push(format!("{name} has no record: {HOW}")),
        }
    }
    let gone = record
        .instructions
        .keys()
        .filter(|name| !counted.instructions.contains_key(*name));
    found.extend(gone.map(|name| format!("{name} was not counted: {HOW}")));
    found
}

fn table(record: &Record, counted: &Counted) -> String {
    let mut table = format!(
        "instructions for each packet ({}; the record is of {})\n",
        counted.kernel, record.kernel
    );
    for (name, now) in &counted.instructions {
        let before = record.instructions.get(name).map_or("none".to_owned(), u64::to_string);
        // Writing to a String cannot fail.
        let _ = writeln!(table, "  {name:<24} {now:>6}   record {before:>6}");
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
        of.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    fn differences(record: &[(&str, u64)], now: &[(&str, u64)]) -> Vec<String> {
        let record = Record {
            kernel: "old".to_owned(),
            instructions: counts(record),
        };
        let counted = Counted {
            kernel: "new".to_owned(),
            instructions: counts(now),
        };
        compare(&record, &counted)
    }

    #[test]
    fn a_twentieth_more_is_let_pass_and_less_is_always() {
        assert_eq!(differences(&[("miss", 200)], &[("miss", 210)]), [""; 0]);
        assert_eq!(differences(&[("miss", 200)], &[("miss", 20)]), [""; 0]);
        let found = differences(&[("miss", 200)], &[("miss", 211)]);
        assert!(
            found[0].starts_with("miss takes 211 instructions, and took 200"),
            "{found:?}"
        );
    }

    #[test]
    fn what_only_one_side_has_is_told() {
        let found = differences(&[("old", 1)], &[("new", 1)]);
        assert!(
            found[0].starts_with("new has no record") && found[1].starts_with("old was not counted"),
            "{found:?}"
        );
    }
}
