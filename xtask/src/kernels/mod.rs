//! `cargo xtask kernels`: the eBPF programs and their tests in other kernels than this machine's, each booted in an emulator.
//!
//! No KVM is needed: QEMU emulates the processor. A guest has no disk and no network; everything it runs is in its initial
//! RAM file system, and what it has to say comes over two serial ports.

mod apt_sources;
mod archive;
mod binaries;
mod catalog;
mod document;
mod findings;
mod guest;
mod heard;
mod image;
mod initrd;
mod instructions;
mod jobs;
mod libraries;
mod modules;

use std::{process::ExitCode, time::Instant};

use anyhow::{Context, Result};

use self::{binaries::Binaries, findings::Findings, guest::Clock, jobs::Job};
pub(crate) use self::{
    catalog::Series,
    instructions::{Counted, count},
    jobs::Group,
};
use crate::{
    apt, build, console, interrupt,
    layout::Layout,
    probe, setup,
    test::{Outcome, Report},
    toolchain::ToolchainChoice,
};

/// Programs that this command alone needs, and the Debian packages that have them.
const PROGRAMS: [(&str, &str); 4] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("xz", "xz-utils"),
    ("zstd", "zstd"),
];

/// What one kernel came to.
#[derive(Debug)]
struct Tried {
    series: Series,
    /// The package that it is from.
    package: String,
    findings: Findings,
    /// Everything that the guest said.
    lines: Vec<String>,
    report: Report,
}

pub(crate) fn run(layout: &Layout, kernels: &[Series], only: &[Group], choice: ToolchainChoice) -> Result<ExitCode> {
    setup::run(layout, choice)?;
    programs()?;
    build::bpf(layout, choice)?;
    let jobs = jobs::of(only);
    let binaries = Binaries::build(layout, &jobs)?;
    let mut all = Vec::new();
    let programs = heard::fingerprint(layout)?;
    for series in catalog::chosen(kernels) {
        interrupt::check()?;
        eprintln!();
        console::step(&format!("Linux {}", series.name()));
        let tried = try_one(layout, series, &jobs, &binaries)?;
        heard::keep(layout, series, &programs, &tried)?;
        all.push(tried);
    }
    for tried in &all {
        eprintln!();
        console::step(&format!("Linux {} ({})", tried.series.name(), tried.package));
        for feature in &tried.findings.features {
            console::note(feature);
        }
        print!("{}", tried.report);
    }
    write_document(layout, &programs)?;
    let good = all.iter().all(|tried| tried.report.is_good());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Writes the page of what is known of these programs, from this run and from others.
fn write_document(layout: &Layout, programs: &str) -> Result<()> {
    let (mut tried, mut untried) = (Vec::new(), Vec::new());
    for series in catalog::chosen(&[]) {
        match heard::of(layout, series, programs)? {
            Some(findings) => tried.push((series, findings)),
            None => untried.push(series.name()),
        }
    }
    document::write(layout, &tried, &untried)
}

fn programs() -> Result<()> {
    let missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| probe::on_path(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    apt::install(&missing, "an emulator and what a guest is made of; about a minute")
}

fn try_one(layout: &Layout, series: Series, jobs: &[Job], binaries: &Binaries) -> Result<Tried> {
    let name = series.name();
    let directory = layout.target.join("kernels").join(name);
    let image = image::ready(&directory, series).with_context(|| format!("cannot get Linux {name}"))?;
    let initrd = directory.join("initrd");
    initrd::write(&initrd, &image, jobs, binaries).with_context(|| format!("cannot make {}", initrd.display()))?;

    let mut lines = Vec::new();
    let mut findings = Findings::default();
    let ended = guest::boot(
        &image.vmlinuz,
        &initrd,
        &directory.join("console.log"),
        jobs,
        Clock::Time,
        |line| {
            lines.push(line.to_owned());
            findings.hear(line, Instant::now())
        },
    );
    interrupt::check()?;
    if let Err(error) = ended {
        console::note(&format!(
            "{error:#}; the kernel's console is in {}",
            directory.join("console.log").display()
        ));
    }
    let mut report = Report::default();
    for job in jobs {
        let (outcome, took) = match findings.job(job.name) {
            Some(found) => (Outcome::of_tests(found.counts, found.succeeded()), found.took),
            None => (
                Outcome::broken("the guest never ran it".to_owned()),
                Instant::now().elapsed(),
            ),
        };
        report.add(job.title, outcome, took);
    }
    Ok(Tried {
        series,
        package: image.package,
        findings,
        lines,
        report,
    })
}
