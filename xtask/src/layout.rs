//! Where things are in the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

/// Paths of one checkout.
#[derive(Debug)]
pub(crate) struct Layout {
    /// The root of the checkout, where the workspace's `Cargo.toml` is.
    pub(crate) root: PathBuf,
    /// Where cargo puts what it builds for the workspace.
    pub(crate) target: PathBuf,
}

impl Layout {
    /// The checkout that this binary was built from.
    pub(crate) fn find() -> Result<Self> {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = manifest
            .parent()
            .context("xtask's own directory has no parent")?
            .to_path_buf();
        ensure!(
            root.join("bpf").is_dir(),
            "{} is no checkout of kpr any more: run `cargo xtask` inside a checkout",
            root.display()
        );
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |dir| root.join(dir));
        Ok(Self { root, target })
    }

    /// The workspace of the eBPF programs.
    pub(crate) fn bpf_workspace(&self) -> PathBuf {
        self.root.join("bpf")
    }

    /// The eBPF object of this package.
    pub(crate) fn object(&self, package: &str) -> PathBuf {
        self.root.join("target/bpf").join(package).with_extension("o")
    }

    /// The eBPF object that benchmarks measure against.
    pub(crate) fn floor_object(&self) -> PathBuf {
        self.object("kpr-floor")
    }

    /// Cargo's target directory for the eBPF programs: apart from the workspace's, so that neither waits for the
    /// other's lock.
    pub(crate) fn bpf_target(&self) -> PathBuf {
        self.root.join("target/bpf/build")
    }

    /// Root of the tools that set-up builds (`cargo install --root`).
    pub(crate) fn tools(&self) -> PathBuf {
        self.root.join("target/tools")
    }

    /// The executables of those tools.
    pub(crate) fn tools_bin(&self) -> PathBuf {
        self.tools().join("bin")
    }

    /// A user-space binary of the release profile.
    pub(crate) fn release_binary(&self, name: &str) -> PathBuf {
        self.target.join("release").join(name)
    }

    /// A user-space binary of the debug profile.
    pub(crate) fn debug_binary(&self, name: &str) -> PathBuf {
        self.target.join("debug").join(name)
    }
}
