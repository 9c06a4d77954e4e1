//! The page of `kpr service get`: everything about some frontends.

use std::fmt::{self, Write};

use jiff::SignedDuration;

use super::{
    Entry,
    entry::{Counted, Traffic},
};
use crate::cli::{age::span, backend, maps::memory, table::Table};

/// Width of the first column.
const LABEL: usize = 16;

/// One paragraph for each frontend. `backends`: all of this node's.
pub(super) fn render(entries: &[&Entry], backends: &[backend::Row]) -> String {
    let mut page = String::new();
    for (n, entry) in entries.iter().enumerate() {
        if n > 0 {
            page.push('\n');
        }
        // Writing to a string can't fail.
        let _ = frontend(&mut page, entry, backends);
    }
    page
}

/// What was counted, in a line.
fn counts(counted: &Counted) -> String {
    let Counted {
        sockets,
        flows,
        requests,
        replies,
    } = counted;
    let traffic = |traffic: &Traffic| format!("{} packets ({})", traffic.packets, memory(traffic.bytes));
    format!(
        "{sockets} sockets, {flows} flows: {} of requests, {} of replies",
        traffic(requests),
        traffic(replies)
    )
}

fn frontend(page: &mut String, entry: &Entry, backends: &[backend::Row]) -> fmt::Result {
    let policy = |is_local| if is_local { "Local" } else { "Cluster" };
    let affinity = entry.affinity_seconds.map_or_else(
        || "none".to_owned(),
        |seconds| {
            format!(
                "by client address, for {}",
                span(SignedDuration::from_secs(seconds.into()))
            )
        },
    );
    let sources = match entry.source_ranges.as_slice() {
        [] => "everyone".to_owned(),
        ranges => ranges.join(", "),
    };
    let selection = entry
        .maglev_table_size
        .map_or_else(|| "by chance".to_owned(), |size| format!("Maglev (table size: {size})"));
    let here = entry.backends.iter().filter(|backend| backend.local).count();
    let count = match entry.backends.len() {
        0 => "none".to_owned(),
        all => format!("{all}, {here} on this node"),
    };
    for (label, text) in [
        (
            "Frontend",
            format!("{}/{} ({})", entry.frontend, entry.protocol, entry.service_type),
        ),
        (
            "Service",
            entry
                .name()
                .unwrap_or_else(|| "unknown (only the agent knows)".to_owned()),
        ),
        ("ID", format!("{} ({})", entry.id, entry.family)),
        (
            "Traffic policy",
            format!(
                "external {}, internal {}",
                policy(entry.external_traffic_policy_local),
                policy(entry.internal_traffic_policy_local)
            ),
        ),
        ("Affinity", affinity),
        ("Selection", selection),
        ("Source ranges", sources),
        ("Backends", count),
    ] {
        writeln!(page, "{:<LABEL$}{text}", format!("{label}:"))?;
    }
    if let Some(counted) = &entry.counted {
        writeln!(page, "{:<LABEL$}{}", "Counted:", counts(counted))?;
    }
    let own = |row: &&backend::Row| {
        let is_own = |backend: &super::entry::Backend| backend.id == row.id;
        row.family == entry.family && entry.backends.iter().any(is_own)
    };
    let rows: Vec<_> = backends.iter().filter(own).collect();
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["ID", "Backend", "State", "Where", "Connections"]).indent(2);
    for row in rows {
        table.row([
            row.id.to_string(),
            row.place(),
            row.coloured_state(),
            row.whereabouts(),
            row.count(),
        ]);
    }
    write!(page, "{table}")
}
