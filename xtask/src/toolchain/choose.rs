//! Which toolchain to use, decided from what was found (pure).

use clap::ValueEnum;

use crate::version::Version;

/// What the user asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ToolchainChoice {
    /// Whichever is there; else whichever can be installed.
    #[default]
    Auto,
    /// rustup's nightly with its component rust-src.
    Nightly,
    /// Debian's packages rustc-web, cargo-web and rust-web-src.
    Debian,
}

/// A Rust compiler on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compiler {
    /// The LLVM that writes its bitcode.
    pub(crate) llvm: Version,
    /// Is the source of `core` installed beside it?
    pub(crate) has_core_source: bool,
}

/// What is on this machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) rustup: bool,
    pub(crate) nightly: Option<Compiler>,
    pub(crate) debian: Option<Compiler>,
    /// May packages be installed?
    pub(crate) apt: bool,
    /// The newest LLVM libraries of nightly's major version that are installed or can be.
    pub(crate) llvm_for_nightly: Option<Version>,
    /// A bpf-linker that the user has put on PATH. Which LLVM is in it, the user knows.
    pub(crate) linker_of_user: bool,
}

/// One way to a toolchain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Nightly as it is.
    UseNightly,
    /// Debian's compiler as it is.
    UseDebian,
    /// `rustup component add rust-src` for the nightly that is there.
    AddSourceToNightly,
    /// Install the three packages.
    InstallDebian,
    /// Let rustup install a nightly with rust-src.
    InstallNightly,
}

/// The ways to try, best first: what is complete, then what needs the smallest installation.
pub(crate) fn attempts(choice: ToolchainChoice, found: &Found) -> Vec<Attempt> {
    let complete = |compiler: Option<Compiler>| compiler.is_some_and(|compiler| compiler.has_core_source);
    // LLVM reads bitcode of its own version and of older ones, not of newer ones.
    let nightly_can_be_linked = found
        .nightly
        .is_some_and(|nightly| found.linker_of_user || found.llvm_for_nightly.is_some_and(|llvm| llvm >= nightly.llvm));
    let possible = [
        (Attempt::UseNightly, complete(found.nightly) && nightly_can_be_linked),
        (Attempt::UseDebian, complete(found.debian)),
        (
            Attempt::AddSourceToNightly,
            !complete(found.nightly) && nightly_can_be_linked,
        ),
        (Attempt::InstallDebian, !complete(found.debian) && found.apt),
        (Attempt::InstallNightly, found.rustup && found.nightly.is_none()),
    ];
    let wanted = |attempt: Attempt| match choice {
        ToolchainChoice::Auto => true,
        ToolchainChoice::Debian => matches!(attempt, Attempt::UseDebian | Attempt::InstallDebian),
        ToolchainChoice::Nightly => !matches!(attempt, Attempt::UseDebian | Attempt::InstallDebian),
    };
    possible
        .into_iter()
        .filter(|(attempt, possible)| *possible && wanted(*attempt))
        .map(|(attempt, _)| attempt)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLVM: Version = Version {
        major: 22,
        minor: 1,
        patch: 4,
    };
    const NEWER: Version = Version {
        major: 22,
        minor: 1,
        patch: 8,
    };

    fn compiler(llvm: Version, has_core_source: bool) -> Compiler {
        Compiler { llvm, has_core_source }
    }

    /// A machine with rustup, a nightly without source, and apt.
    fn fresh() -> Found {
        Found {
            rustup: true,
            nightly: Some(compiler(LLVM, false)),
            debian: None,
            apt: true,
            llvm_for_nightly: Some(NEWER),
            linker_of_user: false,
        }
    }

    #[test]
    fn a_fresh_machine_adds_the_source_to_nightly_and_falls_back_to_debian() {
        assert_eq!(
            attempts(ToolchainChoice::Auto, &fresh()),
            [Attempt::AddSourceToNightly, Attempt::InstallDebian]
        );
    }

    #[test]
    fn what_is_complete_is_used_before_anything_is_installed() {
        let found = Found {
            debian: Some(compiler(NEWER, true)),
            ..fresh()
        };
        assert_eq!(attempts(ToolchainChoice::Auto, &found)[0], Attempt::UseDebian);
        let found = Found {
            nightly: Some(compiler(LLVM, true)),
            ..found
        };
        assert_eq!(
            attempts(ToolchainChoice::Auto, &found),
            [Attempt::UseNightly, Attempt::UseDebian]
        );
    }

    #[test]
    fn a_nightly_whose_bitcode_no_llvm_here_can_read_is_left_alone() {
        let found = Found {
            nightly: Some(compiler(NEWER, true)),
            llvm_for_nightly: Some(LLVM),
            ..fresh()
        };
        assert_eq!(attempts(ToolchainChoice::Auto, &found), [Attempt::InstallDebian]);
        let found = Found {
            llvm_for_nightly: None,
            ..found
        };
        assert_eq!(attempts(ToolchainChoice::Auto, &found), [Attempt::InstallDebian]);
    }

    #[test]
    fn a_linker_that_the_user_has_installed_is_trusted_to_fit() {
        let found = Found {
            nightly: Some(compiler(NEWER, true)),
            apt: false,
            llvm_for_nightly: None,
            linker_of_user: true,
            ..fresh()
        };
        assert_eq!(attempts(ToolchainChoice::Auto, &found), [Attempt::UseNightly]);
    }

    #[test]
    fn without_apt_rustup_is_asked_for_a_nightly() {
        let found = Found {
            nightly: None,
            apt: false,
            llvm_for_nightly: None,
            ..fresh()
        };
        assert_eq!(attempts(ToolchainChoice::Auto, &found), [Attempt::InstallNightly]);
    }

    #[test]
    fn a_choice_excludes_the_other_toolchain() {
        let found = Found {
            debian: Some(compiler(NEWER, true)),
            nightly: Some(compiler(LLVM, true)),
            ..fresh()
        };
        assert_eq!(attempts(ToolchainChoice::Debian, &found), [Attempt::UseDebian]);
        assert_eq!(attempts(ToolchainChoice::Nightly, &found), [Attempt::UseNightly]);
        assert_eq!(attempts(ToolchainChoice::Debian, &Found { apt: false, ..fresh() }), []);
    }
}
