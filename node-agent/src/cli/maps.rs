//! `kpr maps`: the pinned maps themselves.

use std::io::Write;

use anyhow::Context;
use serde::Serialize;

use super::{Exit, absent, args::Place, output::Format, style::notable, table::Table};
use crate::datapath::dump::{self, PinnedMap};

/// From so much on a map is nearly full, in percent.
const NEARLY_FULL: u64 = 90;

/// A map, for people and for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: &'static str,
    kind: &'static str,
    /// Bytes.
    key_size: u32,
    /// Bytes.
    value_size: u32,
    /// None of arrays, all of whose entries are there.
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u32>,
    capacity: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    flags: u32,
}

/// Carries out the command.
pub(super) fn run(place: &Place, format: Format, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let maps = dump::maps(&place.bpffs_root).with_context(|| absent::unreadable(&place.bpffs_root))?;
    anyhow::ensure!(!maps.is_empty(), absent::error(&place.bpffs_root));
    let rows: Vec<_> = maps.into_iter().map(Row::from).collect();
    format.output.print(out, &rows, || render(&rows))?;
    Ok(Exit::Ok)
}

impl From<PinnedMap> for Row {
    fn from(map: PinnedMap) -> Self {
        let PinnedMap {
            name,
            kind,
            key_size,
            value_size,
            capacity,
            entries,
            memory,
            flags,
        } = map;
        Self {
            name,
            kind,
            key_size,
            value_size,
            entries,
            capacity,
            memory_bytes: memory,
            flags,
        }
    }
}

fn render(rows: &[Row]) -> String {
    let mut table = Table::new(["Name", "Kind", "Key", "Value", "Entries", "Capacity", "Memory", "Flags"]);
    for row in rows {
        table.row([
            row.name.to_owned(),
            row.kind.to_owned(),
            row.key_size.to_string(),
            row.value_size.to_string(),
            row.fill(),
            row.capacity.to_string(),
            row.memory_bytes.map_or_else(|| "unknown".to_owned(), memory),
            flags(row.flags),
        ]);
    }
    let all: u64 = rows.iter().filter_map(|row| row.memory_bytes).sum();
    format!("{table}{} maps, {}\n", rows.len(), memory(all))
}

impl Row {
    fn fill(&self) -> String {
        let Some(entries) = self.entries else {
            return "all".to_owned();
        };
        let percent = u64::from(entries) * 100 / u64::from(self.capacity.max(1));
        let text = format!("{entries} ({percent}%)");
        // An LRU map is full for most of its life, and makes room.
        if percent >= NEARLY_FULL && self.kind != "lru_hash" {
            notable(&text)
        } else {
            text
        }
    }
}

/// Bytes in the largest unit of which there is at least one, with one decimal.
pub(super) fn memory(bytes: u64) -> String {
    let (mut tenths, mut unit) = (bytes * 10, "B");
    for larger in ["KiB", "MiB", "GiB"] {
        if tenths < 10_240 {
            break;
        }
        (tenths, unit) = (tenths / 1_024, larger);
    }
    match unit {
        "B" => format!("{bytes} B"),
        unit => format!("{}.{} {unit}", tenths / 10, tenths % 10),
    }
}

/// `BPF_F_*` of include/uapi/linux/bpf.h, as far as kpr's maps have them.
fn flags(flags: u32) -> String {
    const NAMES: [(u32, &str); 5] = [
        (1, "no_prealloc"),
        (1 << 1, "no_common_lru"),
        (1 << 7, "rdonly_prog"),
        (1 << 8, "wronly_prog"),
        (1 << 10, "mmapable"),
    ];
    let named = NAMES.iter().filter(|(flag, _)| flags & flag != 0);
    let unnamed = NAMES.iter().fold(flags, |left, (flag, _)| left & !flag);
    let mut words: Vec<_> = named.map(|(_, name)| (*name).to_owned()).collect();
    if unnamed != 0 {
        words.push(format!("{unnamed:#x}"));
    }
    if words.is_empty() {
        "none".to_owned()
    } else {
        words.join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::style::plain;

    fn map(name: &'static str, kind: &'static str, entries: Option<u32>, capacity: u32) -> Row {
        Row::from(PinnedMap {
            name,
            kind,
            key_size: 8,
            value_size: 36,
            capacity,
            entries,
            memory: Some(10_492_160),
            flags: u32::from(kind == "hash"),
        })
    }

    #[test]
    fn each_map_has_a_line_and_their_memory_a_sum() {
        let maps = [
            map("SERVICES4", "hash", Some(60_000), 65_536),
            map("SLOTS4", "array", None, 1_000),
            map("FLOWS4", "lru_hash", Some(131_072), 131_072),
        ];
        let expected = "\
Name        Kind       Key   Value   Entries         Capacity   Memory     Flags
SERVICES4   hash       8     36      60000 (91%)     65536      10.0 MiB   no_prealloc
SLOTS4      array      8     36      all             1000       10.0 MiB   none
FLOWS4      lru_hash   8     36      131072 (100%)   131072     10.0 MiB   none
3 maps, 30.0 MiB
";
        assert_eq!(plain(&render(&maps)), expected);
        assert_ne!(maps[0].fill(), "60000 (91%)", "nearly full");
        assert_eq!(maps[2].fill(), "131072 (100%)", "makes room by itself");
    }

    #[test]
    fn sizes_and_flags_are_written_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (1_536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(memory(bytes), text);
        }
        assert_eq!(flags(1 | 1 << 10 | 1 << 20), "no_prealloc,mmapable,0x100000");
    }
}
