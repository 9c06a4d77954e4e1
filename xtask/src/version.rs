//! Version numbers, as far as fitting LLVMs together needs them.

use std::{fmt, str::FromStr};

/// `major.minor.patch`, ordered as usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
    pub(crate) patch: u32,
}

impl Version {
    /// The LLVM of a rustc, from what `rustc -vV` prints.
    pub(crate) fn of_llvm_in(rustc_verbose: &str) -> Option<Self> {
        rustc_verbose
            .lines()
            .find_map(|line| line.strip_prefix("LLVM version: "))?
            .parse()
            .ok()
    }

    /// The candidate of a package, from what `apt-cache policy PACKAGE` prints (`1:22.1.8-1~deb12u1`).
    pub(crate) fn of_candidate_in(policy: &str) -> Option<Self> {
        let candidate = policy
            .lines()
            .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
        let upstream = candidate.split_once(':').map_or(candidate, |(_epoch, rest)| rest);
        upstream.split(['-', '+', '~']).next()?.parse().ok()
    }
}

/// What is not `major[.minor[.patch]]` with decimal numbers.
#[derive(Debug)]
pub(crate) struct NoVersion;

impl FromStr for Version {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        let mut parts = text
            .trim()
            .split('.')
            .map(|part| part.parse::<u32>().map_err(|_| NoVersion));
        let major = parts.next().ok_or(NoVersion)??;
        let minor = parts.next().transpose()?.unwrap_or(0);
        let patch = parts.next().transpose()?.unwrap_or(0);
        Ok(Self { major, minor, patch })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLVM_22_1_8: Version = Version {
        major: 22,
        minor: 1,
        patch: 8,
    };

    #[test]
    fn llvm_is_found_in_what_rustc_says_about_itself() {
        let text = "rustc 1.96.0 (ac68faa20 2026-05-25)\nhost: x86_64-unknown-linux-gnu\nLLVM version: 22.1.8\n";
        assert_eq!(Version::of_llvm_in(text), Some(LLVM_22_1_8));
        assert_eq!(Version::of_llvm_in("rustc 1.96.0"), None);
    }

    #[test]
    fn the_candidate_of_a_debian_package_is_read_without_epoch_and_revision() {
        let text = "llvm-22-dev:\n  Installed: (none)\n  Candidate: 1:22.1.8-1~deb12u1\n  Version table:\n";
        assert_eq!(Version::of_candidate_in(text), Some(LLVM_22_1_8));
        assert_eq!(
            Version::of_candidate_in("x:\n  Candidate: 1.96.0+dfsg1-1~deb12u2\n").map(|v| v.minor),
            Some(96)
        );
        assert_eq!(
            Version::of_candidate_in("llvm-99-dev:\n  Installed: (none)\n  Candidate: (none)\n"),
            None
        );
        assert_eq!(Version::of_candidate_in(""), None);
    }

    #[test]
    fn versions_compare_by_number_and_not_by_text() {
        assert!("22.1.10".parse::<Version>().unwrap() > LLVM_22_1_8);
        assert!("9".parse::<Version>().unwrap() < LLVM_22_1_8);
        assert!("22.x".parse::<Version>().is_err());
    }
}
