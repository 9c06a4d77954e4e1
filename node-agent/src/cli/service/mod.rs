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

/// Every programmed frontend: IPv4 before IPv6, each by its own ids.
pub(super) fn read(bpffs_root: &Path) -> anyhow::Result<Vec<Entry>> {
    let unreadable = || format!("the maps pinned under {} cannot be read", bpffs_root.display());
    let v4 = dump::services4(bpffs_root).with_context(unreadable)?;
    let v6 = dump::services6(bpffs_root).with_context(unreadable)?;
    anyhow::ensure!(
        v4.is_some() || v6.is_some(),
        "no datapath is pinned under {} (--bpffs-root names another directory)",
        bpffs_root.display()
    );
    let v4 = v4.as_ref().map(entry::entries).unwrap_or_default();
    let v6 = v6.as_ref().map(entry::entries).unwrap_or_default();
    Ok([v4, v6].concat())
}
