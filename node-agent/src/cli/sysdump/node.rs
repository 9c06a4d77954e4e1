//! Parts that are the machine's own: its kernel, its sysctls, what kpr has pinned.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context as _;

use crate::{cli::args::Place, netfilter};

/// Those that decide how packets of Services fare. A `*` stands for every device.
const SYSCTLS: [&str; 33] = [
    "kernel/bpf_stats_enabled",
    "kernel/unprivileged_bpf_disabled",
    "net/core/bpf_jit_enable",
    "net/core/bpf_jit_harden",
    "net/core/bpf_jit_limit",
    "net/core/default_qdisc",
    "net/core/somaxconn",
    "net/ipv4/conf/*/accept_local",
    "net/ipv4/conf/*/forwarding",
    "net/ipv4/conf/*/route_localnet",
    "net/ipv4/conf/*/rp_filter",
    "net/ipv4/conf/*/src_valid_mark",
    "net/ipv4/fib_multipath_hash_policy",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/ip_local_reserved_ports",
    "net/ipv4/ip_nonlocal_bind",
    "net/ipv4/neigh/default/gc_thresh1",
    "net/ipv4/neigh/default/gc_thresh2",
    "net/ipv4/neigh/default/gc_thresh3",
    "net/ipv4/tcp_tw_reuse",
    "net/ipv6/conf/*/accept_ra",
    "net/ipv6/conf/*/disable_ipv6",
    "net/ipv6/conf/*/forwarding",
    "net/ipv6/neigh/default/gc_thresh3",
    "net/ipv6/route/max_size",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_udp_timeout",
    "net/netfilter/nf_conntrack_udp_timeout_stream",
];

/// Versions of kpr and of the kernel, and how large the machine is.
pub(super) fn version(node: &str) -> anyhow::Result<String> {
    let kernel = fs::read_to_string("/proc/version").context("cannot read /proc/version")?;
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let memory = memory.lines().next().unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    Ok(format!(
        "node: {node}\nkpr: {}\nmaps and programs: version {}\nkernel: {}\nprocessors: {processors}\n{memory}\nload: {}\n\
         rules of kube-proxy: {}\n",
        env!("CARGO_PKG_VERSION"),
        kpr_abi::ABI_VERSION,
        kernel.trim_end(),
        load.trim_end(),
        netfilter::rules(),
    ))
}

/// Sysctls and their values. One that this kernel does not have is left out.
pub(super) fn sysctls(root: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    for name in SYSCTLS {
        for file in with_devices(root, name)? {
            if let Ok(value) = fs::read_to_string(root.join(&file)) {
                let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
                writeln!(text, "{file} = {value}")?;
            }
        }
    }
    anyhow::ensure!(!text.is_empty(), "no sysctl is under {}", root.display());
    Ok(text)
}

fn with_devices(root: &Path, name: &str) -> anyhow::Result<Vec<String>> {
    let Some((before, after)) = name.split_once("/*/") else {
        return Ok(vec![name.to_owned()]);
    };
    let Ok(devices) = fs::read_dir(root.join(before)) else {
        return Ok(Vec::new());
    };
    let mut files = Vec::new();
    for device in devices {
        files.push(format!("{before}/{}/{after}", device?.file_name().display()));
    }
    files.sort_unstable();
    Ok(files)
}

/// What is pinned: maps, and links, which hold programs where they are attached.
pub(super) fn pins(place: &Place) -> anyhow::Result<String> {
    let mut text = String::new();
    list(&place.bpffs_root, 0, &mut text).with_context(|| format!("cannot list {}", place.bpffs_root.display()))?;
    Ok(text)
}

fn list(directory: &Path, depth: usize, text: &mut String) -> anyhow::Result<()> {
    let mut entries = fs::read_dir(directory)?.collect::<Result<Vec<_>, _>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        writeln!(
            text,
            "{:indent$}{}",
            "",
            entry.file_name().display(),
            indent = 2 * depth
        )?;
        if entry.file_type()?.is_dir() && depth < 4 {
            list(&entry.path(), depth + 1, text)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sysctls_of_every_device_are_there_and_unknown_ones_are_left_out() {
        let root = tempfile::tempdir().unwrap();
        for (file, value) in [
            ("net/ipv4/conf/all/rp_filter", "2\n"),
            ("net/ipv4/conf/eth0.7/rp_filter", "1\n"),
            ("net/ipv4/ip_local_port_range", "32768\t60999\n"),
            ("net/ipv4/tcp_secret", "token\n"),
        ] {
            let file = root.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, value).unwrap();
        }
        assert_eq!(
            sysctls(root.path()).unwrap(),
            "net/ipv4/conf/all/rp_filter = 2\nnet/ipv4/conf/eth0.7/rp_filter = 1\nnet/ipv4/ip_local_port_range = 32768 60999\n"
        );
        assert!(sysctls(&root.path().join("absent")).is_err());
    }

    #[test]
    fn pins_are_a_tree() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("v1/maps")).unwrap();
        fs::write(root.path().join("v1/maps/FLOWS4"), "").unwrap();
        let mut text = String::new();
        list(root.path(), 0, &mut text).unwrap();
        assert_eq!(text, "v1\n  maps\n    FLOWS4\n");
    }
}
