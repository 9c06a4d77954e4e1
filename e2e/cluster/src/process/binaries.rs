//! Where the programs under test are.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

/// Names the directory of the programs, when they are not beside the running one.
const DIRECTORY_VARIABLE: &str = "KPR_BIN_DIR";

/// The directory that holds `kpr-operator`, `kpr-node-agent`, `kpr` and `kpr-cluster`.
#[derive(Clone, Debug)]
pub struct Binaries {
    directory: PathBuf,
}

impl Binaries {
    /// Takes `KPR_BIN_DIR`, else the directory of the running program (for a test: of the build it belongs to).
    pub fn find() -> Result<Self> {
        if let Some(directory) = env::var_os(DIRECTORY_VARIABLE) {
            return Ok(Self {
                directory: directory.into(),
            });
        }
        let program = env::current_exe().context("find the running program")?;
        let directory = program.parent().context("the running program has no directory")?;
        // Test programs are one directory deeper.
        let directory = if directory.ends_with("deps") {
            directory.parent().unwrap_or(directory)
        } else {
            directory
        };
        Ok(Self {
            directory: directory.to_owned(),
        })
    }

    /// The program `name`.
    pub fn get(&self, name: &str) -> Result<PathBuf> {
        let path = self.directory.join(name);
        if !path.is_file() {
            bail!(
                "{} is not there: build it first (`cargo xtask build`), or set {DIRECTORY_VARIABLE}",
                path.display()
            );
        }
        Ok(path)
    }

    /// The directory, to put into a PATH.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// A program that `cargo xtask` has built from e2e/tools.
pub fn tool(name: &str) -> Result<PathBuf> {
    let path = repository()?.join("target/tools/bin").join(name);
    if !path.is_file() {
        bail!("{} is not there: `cargo xtask conformance` builds it", path.display());
    }
    Ok(path)
}

/// A program of the machine's, if it is on the `PATH`.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut candidates = env::split_paths(&path).map(|directory| directory.join(name));
    candidates.find(|program| program.is_file())
}

/// The root of the source tree, where manifests are found.
pub fn repository() -> Result<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize()
        .context("find the source tree that this program was built from")
}
