//! What krew is told: <https://krew.sigs.k8s.io/docs/developer-guide/plugin-manifest/>.

use std::fmt::Write as _;

use super::archive::Archive;
use crate::image::{Platform, binaries::PLUGIN};

/// An archive, and for what it is.
#[derive(Clone, Debug)]
pub(super) struct Release {
    pub(super) platform: Platform,
    pub(super) archive: Archive,
}

/// Beginning of the manifest; each release follows.
const HEAD: &str = concat!(
    "\
# Written by `cargo xtask dist`.
apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: kpr
spec:
  version: v",
    env!("CARGO_PKG_VERSION"),
    "
  homepage: ",
    env!("CARGO_PKG_REPOSITORY"),
    "
  shortDescription: Shows and checks how Services are served by kpr
  description: |
    kpr replaces kube-proxy with an eBPF datapath, on any CNI. This plugin asks
    its agents on all nodes: what they serve, which flows they know, what would
    become of a packet and why. It checks whether every kind of Service
    answers, and gathers what a bug report needs.
  caveats: |
    To complete command lines, give it a second name:

      ln -s kubectl-kpr \"${KREW_ROOT:-$HOME/.krew}/bin/kubectl_complete-kpr\"
  platforms:
"
);

/// The manifest, as YAML.
pub(super) fn of(releases: &[Release]) -> String {
    let mut manifest = HEAD.to_owned();
    for Release { platform, archive } in releases {
        let name = archive.file.file_name().unwrap_or_default().to_string_lossy();
        // Writing to a string can't fail.
        let _ = write!(
            manifest,
            "  - selector:
      matchLabels:
        os: linux
        arch: {architecture}
    uri: {repository}/releases/download/v{version}/{name}
    sha256: {sha256}
    bin: {program}
",
            architecture = platform.architecture(),
            repository = env!("CARGO_PKG_REPOSITORY"),
            version = env!("CARGO_PKG_VERSION"),
            sha256 = archive.sha256,
            program = PLUGIN.0,
        );
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_platform_has_its_archive() {
        let release = |platform: Platform, sha256: &str| Release {
            platform,
            archive: Archive {
                file: format!("/somewhere/{platform}.tar.gz").into(),
                sha256: sha256.to_owned(),
            },
        };
        let manifest = of(&[release(Platform::Amd64, "0123"), release(Platform::Arm64, "4567")]);
        let (_, platforms) = manifest.split_once("\n  platforms:\n").unwrap();
        let version = env!("CARGO_PKG_VERSION");
        let one = |architecture: &str, sha256: &str| {
            format!(
                "  - selector:\n      matchLabels:\n        os: linux\n        arch: {architecture}\n    \
                 uri: https://github.com/kpr-dev/kpr/releases/download/v{version}/{architecture}.tar.gz\n    \
                 sha256: {sha256}\n    bin: kubectl-kpr\n"
            )
        };
        assert_eq!(platforms, one("amd64", "0123") + &one("arm64", "4567"));
    }
}
