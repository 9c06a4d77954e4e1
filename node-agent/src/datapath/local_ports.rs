//! Shortens the range that the node's own connections take their ports from (`net.ipv4.ip_local_port_range`) by what SNAT has of
//! it, and gives it back.
//!
//! Reserving alone ([`super::reserved_ports`]) keeps ports apart, too. But the kernel draws a port from the whole range and goes on
//! from a reserved one to the next that is not: with the upper half reserved, more than half of all UDP sockets would get the
//! range's very first port. Ports that are so easily guessed help whoever forges answers, and ports that are so often used
//! again meet flows of others.

use super::{
    Error, Options, PortRange,
    reserved_ports::{io_error, read},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Below the directory of sysctls.
const SYSCTL: &str = "net/ipv4/ip_local_port_range";

/// Fewer ports than this are too few for a node: the range stays as it is, and the reserved list does its work.
const ENOUGH: u16 = 4096;

/// Takes `snat` off the range, and remembers the range that was there before anything of kpr's in the run directory.
pub(super) fn shorten(snat: PortRange, options: &Options) -> Result<(), Error> {
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
    let Some(original) = parse(&read(&before)?) else {
        return Ok(());
    };
    let wanted = without(original, snat);
    if parse(&current) == Some(wanted) {
        Ok(())
    } else {
        write(&sysctl, wanted)
    }
}

/// Puts back the range that was there before [`shorten`].
pub(super) fn restore(options: &Options) -> Result<(), Error> {
    let before = memory(&options.run_dir);
    if !before.exists() {
        return Ok(());
    }
    if let Some(original) = parse(&read(&before)?) {
        write(&options.sysctl_root.join(SYSCTL), original)?;
    }
    fs::remove_file(&before).map_err(io_error("remove", &before))
}

fn memory(run_dir: &Path) -> PathBuf {
    run_dir.join("ip_local_port_range.before")
}

/// What is left of the range below or above `snat`; all of it where that lies in the middle, or leaves too little.
fn without(range: PortRange, snat: PortRange) -> PortRange {
    let left = if snat.min > range.min && snat.min <= range.max && snat.max >= range.max {
        PortRange {
            max: snat.min - 1,
            ..range
        }
    } else if snat.max < range.max && snat.max >= range.min && snat.min <= range.min {
        PortRange {
            min: snat.max + 1,
            ..range
        }
    } else {
        return range;
    };
    if left.max - left.min >= ENOUGH { left } else { range }
}

/// The kernel prints the first and the last port, with a tab between them.
fn parse(text: &str) -> Option<PortRange> {
    let mut ports = text.split_whitespace().map(str::parse);
    let (min, max) = (ports.next()?.ok()?, ports.next()?.ok()?);
    Some(PortRange { min, max })
}

fn write(sysctl: &Path, PortRange { min, max }: PortRange) -> Result<(), Error> {
    fs::write(sysctl, format!("{min} {max}\n")).map_err(io_error("write", sysctl))
}

#[cfg(test)]
mod tests {
    use super::{PortRange, parse, without};

    #[test]
    fn the_end_that_snat_has_is_taken_off() {
        let range = |min, max| PortRange { min, max };
        for (before, snat, after) in [
            ((32_768, 60_999), (45_000, 65_535), (32_768, 44_999)),
            ((32_768, 60_999), (20_000, 40_000), (40_001, 60_999)),
            ((32_768, 60_999), (40_000, 50_000), (32_768, 60_999)),
            ((32_768, 60_999), (10_000, 20_000), (32_768, 60_999)),
            ((32_768, 60_999), (33_000, 65_535), (32_768, 60_999)),
            ((32_768, 60_999), (30_000, 65_535), (32_768, 60_999)),
        ] {
            let left = without(range(before.0, before.1), range(snat.0, snat.1));
            assert_eq!((left.min, left.max), after, "{before:?} without {snat:?}");
        }
    }

    #[test]
    fn the_range_is_read_as_the_kernel_prints_it() {
        assert_eq!(
            parse("32768\t60999").map(|range| (range.min, range.max)),
            Some((32_768, 60_999))
        );
        assert!(parse("").is_none());
    }
}
