//! A script in kubectl's place.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// It, in a directory of its own, where it may leave what a test then reads.
pub(crate) struct Script(tempfile::TempDir);

impl Script {
    pub(crate) fn new(text: &str) -> Self {
        let script = Self(tempfile::tempdir().expect("a directory"));
        fs::write(script.path(), text).expect("a script");
        fs::set_permissions(script.path(), fs::Permissions::from_mode(0o755)).expect("a script to run");
        script
    }

    pub(crate) fn directory(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.directory().join("kubectl")
    }

    /// What the script calls `$0.SUFFIX`.
    pub(crate) fn beside(&self, suffix: &str) -> PathBuf {
        self.directory().join(format!("kubectl.{suffix}"))
    }

    /// What it was called with, a line for each time.
    pub(crate) fn calls(&self) -> String {
        fs::read_to_string(self.beside("calls")).expect("calls")
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
