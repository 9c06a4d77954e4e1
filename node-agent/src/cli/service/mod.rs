//! `kpr service`: the frontends that this node serves, read from the pinned maps.

mod entry;
mod list;

use std::{io::Write, path::Path};

use anyhow::Context;

pub(super) use entry::Entry;

use super::{Exit, Output, args::Place, print_json};
use crate::datapath::dump;

/// `kpr service list`.
pub(super) fn list(place: &Place, output: Output, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let entries = read(&place.bpffs_root)?;
    match output {
        Output::Json => print_json(out, &entries)?,
        Output::Text => write!(out, "{}", list::render(&entries))?,
    }
    Ok(Exit::Ok)
}

/// Every programmed frontend, by id.
pub(super) fn read(bpffs_root: &Path) -> anyhow::Result<Vec<Entry>> {
    let contents = dump::services4(bpffs_root)
        .with_context(|| format!("the maps pinned under {} cannot be read", bpffs_root.display()))?
        .with_context(|| {
            format!(
                "no datapath is pinned under {} (--bpffs-root names another directory)",
                bpffs_root.display()
            )
        })?;
    Ok(entry::entries(&contents))
}
