//! Which sources an image is made of.

use std::{path::Path, process::Command};

use anyhow::{Context, Result};

use crate::process;

/// A commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Its hash; with `-dirty` if the checkout has changes that are not in it.
    pub(super) revision: String,
    /// The time that everything in the image has, in seconds since 1970: the commit's, or SOURCE_DATE_EPOCH.
    pub(crate) time: u64,
}

pub(crate) fn origin(root: &Path) -> Result<Origin> {
    let git = |arguments: &[&str]| process::capture(Command::new("git").current_dir(root).args(arguments));
    let commit = git(&["rev-parse", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    let time = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(time) => time,
        Err(_) => git(&["log", "-1", "--format=%ct"])?,
    };
    let time = time.trim();
    Ok(Origin {
        revision: revision(&commit, &changes),
        time: time
            .parse()
            .with_context(|| format!("{time:?} is no time in seconds"))?,
    })
}

fn revision(commit: &str, changes: &str) -> String {
    let suffix = if changes.trim().is_empty() { "" } else { "-dirty" };
    format!("{}{suffix}", commit.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkout_with_changes_is_not_its_commit() {
        assert_eq!(revision("0123\n", ""), "0123");
        assert_eq!(revision("0123\n", " M README.md\n"), "0123-dirty");
    }
}
