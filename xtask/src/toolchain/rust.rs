//! Finding and installing the compiler of the eBPF programs.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};

use super::{
    choose::{Attempt, Compiler, Found, ToolchainChoice, attempts},
    environment::scrub,
    linker,
};
use crate::{apt, console, interrupt, probe, process, version::Version};

const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_PACKAGES: [&str; 3] = ["rustc-web", "cargo-web", "rust-web-src"];
/// rust-src is some 4 MB; a mirror that needs longer than this is as good as none.
const RUST_SRC_LIMIT: Duration = Duration::from_mins(1);
const NIGHTLY_LIMIT: Duration = Duration::from_mins(10);

/// A compiler that can build `core` and the eBPF programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BpfRust {
    kind: Kind,
    /// Its LLVM.
    pub(crate) llvm: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Nightly,
    Debian,
}

impl BpfRust {
    /// Its cargo, in a clean environment, with unstable features allowed.
    pub(crate) fn cargo(&self) -> Command {
        let mut command;
        match self.kind {
            Kind::Nightly => {
                command = Command::new("rustup");
                scrub(&mut command);
                command.args(["run", "nightly", "cargo"]);
            }
            Kind::Debian => {
                command = Command::new(DEBIAN_CARGO);
                scrub(&mut command);
                command.env("RUSTC", DEBIAN_RUSTC).env("RUSTC_BOOTSTRAP", "1");
            }
        }
        command
    }

    /// Does it have clippy?
    pub(crate) fn has_clippy(&self) -> bool {
        process::capture(self.cargo().args(["clippy", "--version"])).is_ok()
    }

    /// How a message names it.
    pub(crate) fn describe(&self) -> String {
        let name = match self.kind {
            Kind::Nightly => "rustup's nightly",
            Kind::Debian => "Debian's rustc-web",
        };
        format!("{name} (LLVM {})", self.llvm)
    }
}

/// Find a compiler, or install one.
pub(crate) fn ready(choice: ToolchainChoice) -> Result<BpfRust> {
    if let Some(rust) = usable(choice, &find()) {
        return Ok(rust);
    }
    console::step("Getting a Rust toolchain for the eBPF programs (up to 3 minutes)");
    if apt::usable() {
        apt::refresh();
    }
    for attempt in attempts(choice, &find()) {
        if let Err(error) = carry_out(attempt) {
            interrupt::check()?;
            console::note(&format!("that did not work: {error:#}"));
        } else if let Some(rust) = usable(choice, &find()) {
            return Ok(rust);
        }
    }
    bail!(
        "no toolchain can build the eBPF programs: install rustup's nightly with `rustup toolchain install nightly \
         --component rust-src`, or as root on Debian 12 `apt-get install {}`, and run this again",
        DEBIAN_PACKAGES.join(" ")
    )
}

/// What can be used as it is.
fn usable(choice: ToolchainChoice, found: &Found) -> Option<BpfRust> {
    match attempts(choice, found).first()? {
        Attempt::UseNightly => found.nightly.map(|nightly| BpfRust {
            kind: Kind::Nightly,
            llvm: nightly.llvm,
        }),
        Attempt::UseDebian => found.debian.map(|debian| BpfRust {
            kind: Kind::Debian,
            llvm: debian.llvm,
        }),
        Attempt::AddSourceToNightly | Attempt::InstallDebian | Attempt::InstallNightly => None,
    }
}

fn carry_out(attempt: Attempt) -> Result<()> {
    match attempt {
        Attempt::UseNightly | Attempt::UseDebian => Ok(()),
        Attempt::AddSourceToNightly => {
            console::note("rustup component add rust-src, for nightly (at most a minute)");
            process::run_within(
                rustup().args(["component", "add", "rust-src", "--toolchain", "nightly"]),
                RUST_SRC_LIMIT,
            )
        }
        Attempt::InstallDebian => apt::install(&DEBIAN_PACKAGES, "a Rust compiler with its source; about 100 MB"),
        Attempt::InstallNightly => {
            console::note("rustup toolchain install nightly (1 to 10 minutes)");
            process::run_within(
                rustup()
                    .args(["toolchain", "install", "nightly", "--profile", "minimal"])
                    .args(["--component", "rust-src", "--component", "clippy"]),
                NIGHTLY_LIMIT,
            )
        }
    }
}

fn find() -> Found {
    let rustup_found = probe::on_path("rustup").is_some();
    let nightly = if rustup_found {
        compiler(|| {
            let mut command = rustup();
            command.args(["run", "nightly", "rustc"]);
            command
        })
    } else {
        None
    };
    let debian = if Path::new(DEBIAN_CARGO).exists() {
        compiler(|| Command::new(DEBIAN_RUSTC))
    } else {
        None
    };
    Found {
        rustup: rustup_found,
        nightly,
        debian,
        apt: apt::usable(),
        llvm_for_nightly: nightly.and_then(|nightly| linker::newest_llvm(nightly.llvm.major)),
        linker_of_user: linker::is_on_path(),
    }
}

/// What a rustc says about itself; none if there is no such rustc.
fn compiler(rustc: impl Fn() -> Command) -> Option<Compiler> {
    let ask = |arguments: &[&str]| {
        let mut command = rustc();
        scrub(&mut command);
        process::capture(command.args(arguments)).context("no such compiler")
    };
    let llvm = Version::of_llvm_in(&ask(&["-vV"]).ok()?)?;
    let sysroot = PathBuf::from(ask(&["--print", "sysroot"]).ok()?.trim());
    let has_core_source = sysroot.join("lib/rustlib/src/rust/library/core/Cargo.toml").exists();
    Some(Compiler { llvm, has_core_source })
}

fn rustup() -> Command {
    let mut command = Command::new("rustup");
    scrub(&mut command);
    // A failed download is explained by rustup's message, not by where in rustup it happened.
    command.env_remove("RUST_BACKTRACE");
    command
}
