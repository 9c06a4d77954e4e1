//! What an image can be built for, and what that needs.

use std::{
    fmt,
    process::{Command, ExitCode},
    str::FromStr,
};

use anyhow::{Result, bail, ensure};

use crate::{apt, cli::Platforms, console, probe, process};

/// A platform, as images name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Platform {
    Amd64,
    Arm64,
}

/// Platforms that can be built for.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) ready: Vec<Platform>,
    /// Whether they are all that were asked for.
    is_all: bool,
}

impl Ready {
    /// For a command that has built for them.
    pub(crate) fn exit(&self) -> ExitCode {
        if self.is_all {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

impl FromStr for Platform {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "linux/amd64" => Ok(Self::Amd64),
            "linux/arm64" => Ok(Self::Arm64),
            _ => bail!("kpr has images for linux/amd64 and linux/arm64"),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture())
    }
}

impl Platform {
    /// Those of the platforms that can be built for; tells which can't.
    pub(crate) fn ready(wanted: &Platforms) -> Result<Ready> {
        let mut wanted = wanted.platform.clone();
        wanted.sort_unstable();
        wanted.dedup();
        let all = wanted.len();
        let mut ready = Vec::new();
        for platform in wanted {
            match platform.prepare()? {
                None => ready.push(platform),
                Some(why) => console::note(&format!("nothing for {platform}: {why}")),
            }
        }
        ensure!(!ready.is_empty(), "there is no platform to build for");
        let is_all = ready.len() == all;
        Ok(Ready { ready, is_all })
    }

    /// As images name it.
    pub(crate) fn architecture(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }

    /// The target of Rust: static, with musl.
    pub(super) fn target(self) -> &'static str {
        match self {
            Self::Amd64 => "x86_64-unknown-linux-musl",
            Self::Arm64 => "aarch64-unknown-linux-musl",
        }
    }

    /// The C compiler for what little of the dependencies is C, and the Debian package that has it.
    fn compiler(self) -> (&'static str, &'static str) {
        match (self, self.is_own()) {
            (_, true) => ("musl-gcc", "musl-tools"),
            (Self::Amd64, false) => ("x86_64-linux-gnu-gcc", "gcc-x86-64-linux-gnu libc6-dev-amd64-cross"),
            (Self::Arm64, false) => ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
        }
    }

    /// This machine's.
    pub(super) fn own() -> Option<Self> {
        [Self::Amd64, Self::Arm64]
            .into_iter()
            .find(|platform| platform.is_own())
    }

    /// Is it this machine's?
    fn is_own(self) -> bool {
        self.target().starts_with(std::env::consts::ARCH)
    }

    /// Variables by which cargo finds the tools of this platform.
    pub(super) fn variables(self) -> Vec<(String, String)> {
        let (compiler, _) = self.compiler();
        let lower = self.target().replace('-', "_");
        let mut variables = vec![(format!("CC_{lower}"), compiler.to_owned())];
        if !self.is_own() {
            let name = format!("CARGO_TARGET_{}_LINKER", lower.to_uppercase());
            variables.push((name, compiler.to_owned()));
        }
        variables
    }

    /// Finds what it takes, or gets it if that is quick. What is missing otherwise, and how to get it.
    pub(super) fn prepare(self) -> Result<Option<String>> {
        let (compiler, package) = self.compiler();
        if probe::on_path(compiler).is_none() && self.is_own() {
            apt::install(&[package], "the C compiler for static programs; some seconds")?;
        }
        if probe::on_path(compiler).is_none() {
            return Ok(Some(format!("{compiler} is missing: apt-get install {package}")));
        }
        if has_target(self.target()) {
            return Ok(None);
        }
        console::note(&format!("rustup target add {} (some seconds)", self.target()));
        let added = process::run(Command::new("rustup").args(["target", "add", self.target()]));
        Ok(match added {
            Ok(()) => None,
            Err(error) => Some(format!("the Rust target {} is missing: {error:#}", self.target())),
        })
    }
}

/// Does the toolchain in use have the target's standard library?
fn has_target(target: &str) -> bool {
    let print = ["--print", "target-libdir", "--target", target];
    let directory = process::capture(Command::new("rustc").args(print));
    directory.is_ok_and(|path| std::path::Path::new(path.trim()).is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_named_as_images_name_them() {
        for name in ["linux/amd64", "linux/arm64"] {
            let platform: Platform = name.parse().unwrap();
            assert_eq!(platform.to_string(), name);
        }
        let error = "windows/amd64".parse::<Platform>().unwrap_err().to_string();
        assert!(error.contains("linux/amd64"), "{error}");
    }

    #[test]
    fn one_platform_is_this_machines_and_the_other_needs_a_linker() {
        let linkers = [Platform::Amd64, Platform::Arm64].map(|platform| {
            let variables = platform.variables();
            variables.iter().filter(|(name, _)| name.ends_with("_LINKER")).count()
        });
        assert_eq!(linkers.iter().sum::<usize>(), 1);
        assert!(Platform::own().is_some_and(Platform::is_own));
        assert_eq!(Platform::Arm64.variables()[0].0, "CC_aarch64_unknown_linux_musl");
    }
}
