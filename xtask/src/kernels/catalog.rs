//! Which kernels there are, and whose packages they come from.

use clap::ValueEnum;

/// A series of kernels that kpr is tried on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Series {
    /// Ubuntu 22.04's: the oldest that kpr is built for.
    #[value(name = "5.15")]
    V5_15,
    /// Debian 12's.
    #[value(name = "6.1")]
    V6_1,
    /// Debian 13's, also in Debian 12's updates.
    #[value(name = "6.12")]
    V6_12,
}

/// Where packages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Label of an archive (`Label:` of its Release files) and a suite in it.
    pub(super) suites: &'static [(&'static str, &'static str)],
    /// An environment variable that says where the archive is, for machines whose apt does not know it.
    pub(super) variable: &'static str,
    /// The keyring that must have signed them, below /usr/share/keyrings; and the Debian package that has it, if it is not
    /// the one that each Debian has.
    pub(super) keyring: &'static str,
    pub(super) keyring_package: Option<&'static str>,
}

const DEBIAN: Origin = Origin {
    suites: &[],
    variable: "KPR_DEBIAN_ARCHIVE",
    keyring: "debian-archive-keyring.gpg",
    keyring_package: None,
};

const BOOKWORM: Origin = Origin {
    suites: &[("Debian", "bookworm"), ("Debian-Security", "bookworm-security")],
    ..DEBIAN
};

/// Has Ubuntu's keyring, signed by Debian.
pub(super) const TRIXIE: Origin = Origin {
    suites: &[("Debian", "trixie")],
    ..DEBIAN
};

const JAMMY: Origin = Origin {
    suites: &[("Ubuntu", "jammy-updates")],
    variable: "KPR_UBUNTU_ARCHIVE",
    keyring: "ubuntu-archive-keyring.gpg",
    keyring_package: Some("ubuntu-archive-keyring"),
};

impl Series {
    /// As users name it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V5_15 => "5.15",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
        }
    }

    /// Where its packages are.
    pub(super) fn origin(self) -> Origin {
        match self {
            Self::V5_15 => JAMMY,
            Self::V6_1 | Self::V6_12 => BOOKWORM,
        }
    }

    /// The package that depends on its newest image.
    pub(super) fn meta_package(self) -> &'static str {
        match self {
            Self::V5_15 => "linux-image-virtual",
            Self::V6_1 => "linux-image-cloud-amd64",
            Self::V6_12 => "linux-image-6.12-cloud-amd64",
        }
    }

    /// All packages of an image: Ubuntu has the modules apart.
    pub(super) fn packages(self, image: &str) -> Vec<String> {
        let mut packages = vec![image.to_owned()];
        if self == Self::V5_15 {
            packages.push(image.replacen("linux-image-", "linux-modules-", 1));
        }
        packages
    }
}

/// The series asked for, oldest first; all of them if none was.
pub(super) fn chosen(asked: &[Series]) -> Vec<Series> {
    let all = Series::value_variants().iter().copied();
    all.filter(|series| asked.is_empty() || asked.contains(series))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_choice_every_series_is_tried_and_an_order_of_ones_own_does_not_matter() {
        assert_eq!(chosen(&[]), [Series::V5_15, Series::V6_1, Series::V6_12]);
        assert_eq!(chosen(&[Series::V6_12, Series::V6_1]), [Series::V6_1, Series::V6_12]);
    }

    #[test]
    fn names_on_the_command_line_are_the_series_own() {
        for series in Series::value_variants() {
            let value = series.to_possible_value().expect("no variant is hidden");
            assert_eq!(value.get_name(), series.name());
        }
    }
}
