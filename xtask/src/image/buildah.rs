//! Packing with buildah: no daemon, no base image, nothing is run.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::{git::Origin, root::Content};
use crate::process;

const LIST: &str = "kpr";
/// The user that containers have unless told otherwise.
const USER: &str = "65532:65532";

/// buildah, with a storage of its own that is empty before and after.
#[derive(Debug)]
pub(super) struct Buildah {
    storage: PathBuf,
}

impl Buildah {
    pub(super) fn in_directory(directory: &Path) -> Result<Self> {
        let buildah = Self {
            storage: directory.join("storage"),
        };
        buildah.empty()?;
        Ok(buildah)
    }

    /// Packs an image for each content, and a list of them, into the archive; the list's digest.
    pub(super) fn pack(&self, archive: &Path, contents: &[Content], origin: &Origin) -> Result<String> {
        self.capture(&["manifest", "create", LIST])?;
        for content in contents {
            let image = self.image(content, origin)?;
            let image = format!("containers-storage:{image}");
            self.capture(&["manifest", "add", LIST, &image])?;
        }
        if archive.exists() {
            fs::remove_file(archive).with_context(|| format!("cannot replace {}", archive.display()))?;
        }
        let destination = format!("oci-archive:{}:{}", archive.display(), tag());
        self.capture(&["manifest", "push", "--all", "--quiet", LIST, &destination])?;
        self.empty()?;
        digest(archive)
    }

    /// The image of one platform; its name.
    fn image(&self, content: &Content, origin: &Origin) -> Result<String> {
        let architecture = content.platform.architecture();
        let container = self.capture(&["from", "--arch", architecture, "scratch"])?;
        let container = container.trim();
        let root = format!("{}/", content.root.display());
        self.capture(&["copy", "--quiet", container, &root, "/"])?;
        let labels = labels(origin);
        let mut config = vec!["config", "--os", "linux", "--arch", architecture];
        config.extend(["--user", USER, "--env", "PATH=/usr/bin", "--workingdir", "/"]);
        for label in &labels {
            config.extend(["--label", label]);
        }
        config.push(container);
        self.capture(&config)?;
        let name = format!("kpr-{architecture}");
        let time = origin.time.to_string();
        let mut commit = vec!["commit", "--quiet", "--rm", "--format", "oci"];
        // All that would differ from one time to the next.
        commit.extend(["--omit-history", "--identity-label=false", "--timestamp", &time]);
        commit.extend([container, &name]);
        self.capture(&commit)?;
        Ok(format!("localhost/{name}"))
    }

    fn capture(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new("buildah");
        command
            .arg("--root")
            .arg(self.storage.join("root"))
            .arg("--runroot")
            .arg(self.storage.join("run"))
            // Works on every file system, and inside of containers.
            .args(["--storage-driver", "vfs"])
            .args(arguments);
        process::capture(&mut command)
    }

    fn empty(&self) -> Result<()> {
        if self.storage.exists() {
            fs::remove_dir_all(&self.storage).with_context(|| format!("cannot remove {}", self.storage.display()))?;
        }
        Ok(())
    }
}

fn tag() -> String {
    format!("kpr:{}", env!("CARGO_PKG_VERSION"))
}

/// <https://github.com/opencontainers/image-spec/blob/main/annotations.md>
fn labels(origin: &Origin) -> Vec<String> {
    [
        ("title", "kpr"),
        (
            "description",
            "Replaces kube-proxy with an eBPF datapath, on any CNI: operator, node agent, the command kpr and kubectl's plugin of that name",
        ),
        ("version", env!("CARGO_PKG_VERSION")),
        ("revision", &origin.revision),
        ("source", env!("CARGO_PKG_REPOSITORY")),
        ("licenses", "Apache-2.0"),
    ]
    .iter()
    .map(|(name, value)| format!("org.opencontainers.image.{name}={value}"))
    .collect()
}

/// What the archive's index says.
fn digest(archive: &Path) -> Result<String> {
    let mut tar = Command::new("tar");
    tar.arg("-xOf").arg(archive).arg("index.json");
    let index: Value = serde_json::from_str(&process::capture(&mut tar)?).context("the archive's index is no JSON")?;
    let digest = index["manifests"][0]["digest"].as_str();
    digest.map(str::to_owned).context("the archive's index names no digest")
}
