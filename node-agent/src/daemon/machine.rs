//! What the kernel says of the machine.

use std::fs;

/// As `uname -r` prints it.
pub(super) fn kernel_release() -> String {
    nix::sys::utsname::uname()
        .ok()
        .and_then(|uname| uname.release().to_str().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// The machine's memory; 0, which means the smallest maps, if the kernel does not say.
pub(super) fn memory_bytes() -> u64 {
    fs::read_to_string("/proc/meminfo").map_or(0, |meminfo| total(&meminfo))
}

fn total(meminfo: &str) -> u64 {
    let kib = meminfo.lines().find_map(|line| {
        line.strip_prefix("MemTotal:")?
            .trim()
            .strip_suffix("kB")?
            .trim()
            .parse::<u64>()
            .ok()
    });
    kib.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_in_bytes() {
        assert_eq!(total("MemTotal:        8131724 kB\nMemFree: 1 kB\n"), 8_131_724 * 1024);
        assert_eq!(total(""), 0);
    }
}
