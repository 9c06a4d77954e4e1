//! `docs/kernels.md`: what was run on which kernel, as it came out.

use std::{collections::BTreeSet, fmt::Write as _, fs, process::Command};

use anyhow::{Context, Result};

use super::{Series, findings::Findings, jobs};
use crate::{console, layout::Layout, process};

const HEAD: &str = "\
# Kernels

Written by `cargo xtask kernels`, which boots each of these kernels in QEMU (no KVM needed) with a RAM file system that holds the test
binaries, and runs them there: every eBPF program is loaded in every configuration that the agent may specialise it for, then the packet
tests run (`node-agent/tests/packets`), then one scenario with a ClusterIP and one with a NodePort in a two-node test cluster. Kernels come
as signed packages of Debian and Ubuntu, unpacked below `target/kernels` and not installed.

`cargo xtask kernels --kernel 6.1 --only load` is the quick question after a change to a program. The command is no part of
`cargo xtask test`: an emulated processor takes minutes for each kernel.
";

/// Writes the page.
pub(super) fn write(layout: &Layout, all: &[(Series, Findings)], untried: &[&str]) -> Result<()> {
    let path = layout.root.join("docs/kernels.md");
    fs::write(&path, page(all, untried, &sources(layout)))
        .with_context(|| format!("cannot write {}", path.display()))?;
    console::note(&format!("{} written", path.display()));
    Ok(())
}

/// The last commit of the programs' sources: what was tried is no more than these.
fn sources(layout: &Layout) -> String {
    let log = ["log", "-1", "--format=%h of %cs", "--", "bpf"];
    let commit = process::capture(Command::new("git").current_dir(&layout.root).args(log));
    commit.map_or_else(|_| "not known".to_owned(), |commit| commit.trim().to_owned())
}

fn page(all: &[(Series, Findings)], untried: &[&str], sources: &str) -> String {
    let mut page = HEAD.to_owned();
    // Writing to a String cannot fail.
    let _ = writeln!(page, "\nThe programs were those of the commit {sources}.");
    let _ = writeln!(page, "\n## Results\n\n{}", results(all));
    if !untried.is_empty() {
        let _ = writeln!(page, "Not tried with these programs: {}.\n", untried.join(", "));
    }
    page.push_str("## What kpr chose\n\n");
    for (series, findings) in all {
        let _ = writeln!(page, "Linux {}:\n", series.name());
        for feature in &findings.features {
            let _ = writeln!(page, "* {feature}");
        }
        page.push('\n');
    }
    page.push_str("## The verifier's work\n\nThe most instructions that it walked for each program, in any configuration; the limit is 1,000,000. \
                   Linux tells since 5.16.\n\n");
    page.push_str(&walked(all));
    page
}

fn results(all: &[(Series, Findings)]) -> String {
    let jobs = jobs::of(&[]);
    let mut table = String::from("| kernel | configurations |");
    for job in &jobs {
        let _ = write!(table, " {} |", job.title);
    }
    table.push_str(&rule(jobs.len() + 2));
    for (series, findings) in all {
        let release = findings.release.as_deref().unwrap_or("did not boot");
        let configurations = findings
            .configurations
            .map_or_else(|| "-".to_owned(), |count| count.to_string());
        let _ = write!(table, "| {} ({release}) | {configurations} |", series.name());
        for job in &jobs {
            let cell = match findings.job(job.name) {
                Some(found) if found.succeeded() => format!("{} passed", found.counts.passed),
                Some(found) => format!(
                    "**{} passed, {} failed**",
                    found.counts.passed,
                    found.counts.failed.max(1)
                ),
                None => "**not run**".to_owned(),
            };
            let _ = write!(table, " {cell} |");
        }
        table.push('\n');
    }
    table
}

fn walked(all: &[(Series, Findings)]) -> String {
    let mut table = String::from("| program |");
    for (series, _) in all {
        let _ = write!(table, " {} |", series.name());
    }
    table.push_str(&rule(all.len() + 1));
    let names: BTreeSet<&String> = all.iter().flat_map(|(_, findings)| findings.walked.keys()).collect();
    for name in names {
        let _ = write!(table, "| `{name}` |");
        for (_, findings) in all {
            let cell = match findings.walked.get(name) {
                Some(Some(walked)) => walked.to_string(),
                Some(None) => "loaded".to_owned(),
                None => "-".to_owned(),
            };
            let _ = write!(table, " {cell} |");
        }
        table.push('\n');
    }
    table
}

/// The line below a table's head.
fn rule(columns: usize) -> String {
    format!("\n|{}\n", "---|".repeat(columns))
}
