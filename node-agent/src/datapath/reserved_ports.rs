//! Keeps the node's own connections off the SNAT port range (`net.ipv4.ip_local_reserved_ports`), and gives it back.

use super::{Error, Options, PortRange};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Below the directory of sysctls.
const SYSCTL: &str = "net/ipv4/ip_local_reserved_ports";

/// Reserves the range, and remembers the list that was there before anything of kpr's in the run directory.
pub(super) fn reserve(range: PortRange, options: &Options) -> Result<(), Error> {
    let Options {
        run_dir, sysctl_root, ..
    } = options;
    let sysctl = sysctl_root.join(SYSCTL);
    let before = memory(run_dir);
    let current = read(&sysctl)?;
    if !before.exists() {
        fs::create_dir_all(run_dir).map_err(io_error("make the run directory", run_dir))?;
        fs::write(&before, &current).map_err(io_error("write", &before))?;
    }
    let original = read(&before)?;
    let wanted = add(&original, range);
    if wanted == current {
        Ok(())
    } else {
        write(&sysctl, &wanted)
    }
}

/// Puts back the list that was there before [`reserve`].
pub(super) fn restore(options: &Options) -> Result<(), Error> {
    let before = memory(&options.run_dir);
    if !before.exists() {
        return Ok(());
    }
    write(&options.sysctl_root.join(SYSCTL), &read(&before)?)?;
    fs::remove_file(&before).map_err(io_error("remove", &before))
}

fn memory(run_dir: &Path) -> PathBuf {
    run_dir.join("ip_local_reserved_ports.before")
}

/// The list with the range in it: sorted, merged, as the kernel prints it.
fn add(list: &str, range: PortRange) -> String {
    let mut ranges: Vec<(u16, u16)> = list.trim().split(',').filter_map(parse).collect();
    ranges.push((range.min, range.max));
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::new();
    for (min, max) in ranges {
        match merged.last_mut() {
            Some((_, end)) if u32::from(min) <= u32::from(*end) + 1 => *end = max.max(*end),
            _ => merged.push((min, max)),
        }
    }
    let print = |&(min, max): &(u16, u16)| {
        if min == max {
            min.to_string()
        } else {
            format!("{min}-{max}")
        }
    };
    merged.iter().map(print).collect::<Vec<_>>().join(",")
}

fn parse(item: &str) -> Option<(u16, u16)> {
    let (min, max) = item.split_once('-').unwrap_or((item, item));
    Some((min.trim().parse().ok()?, max.trim().parse().ok()?))
}

pub(super) fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path)
        .map(|text| text.trim().to_owned())
        .map_err(io_error("read", path))
}

fn write(sysctl: &Path, list: &str) -> Result<(), Error> {
    // The kernel takes an empty list only as an empty line.
    fs::write(sysctl, format!("{list}\n")).map_err(io_error("write", sysctl))
}

pub(super) fn io_error(what: &str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let what = format!("{what} {}", path.display());
    move |source| Error::Io { what, source }
}

#[cfg(test)]
mod tests {
    use super::{PortRange, add};

    #[test]
    fn the_range_is_merged_into_the_list_that_the_administrator_made() {
        let range = PortRange {
            min: 45_000,
            max: 65_535,
        };
        for (before, after) in [
            ("", "45000-65535"),
            ("8080", "8080,45000-65535"),
            ("44999", "44999-65535"),
            ("50000-50010", "45000-65535"),
            ("30000-32767,65535", "30000-32767,45000-65535"),
        ] {
            assert_eq!(add(before, range), after, "before: {before:?}");
        }
    }
}
