//! Which kernel modules a guest needs, and in which order they load.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

/// Devices, queueing disciplines, socket listings, and netfilter's connections and rules, that kpr and its tests use. A guest has
/// no modprobe that would load them when they are asked for.
const WANTED: [&str; 15] = [
    "veth",
    "bridge",
    "vxlan",
    "wireguard",
    "tun",
    "sch_ingress",
    "cls_bpf",
    "inet_diag",
    "tcp_diag",
    "udp_diag",
    "nf_conntrack_netlink",
    "nft_chain_nat",
    "nft_compat",
    "iptable_nat",
    "ip6table_nat",
];

/// A module, ready for the guest.
#[derive(Debug)]
pub(super) struct Module {
    pub(super) name: String,
    pub(super) content: Vec<u8>,
}

/// The wanted modules of `lib/modules/<release>` and those that they need, in an order in which they load. What the kernel
/// has built in is left out.
pub(super) fn in_order(directory: &Path) -> Result<Vec<Module>> {
    let mut files = BTreeMap::new();
    index(directory, &mut files)?;
    ensure!(!files.is_empty(), "{} has no modules", directory.display());
    let built_in = fs::read_to_string(directory.join("modules.builtin")).unwrap_or_default();
    let built_in: Vec<String> = built_in
        .lines()
        .filter_map(|line| module_name(Path::new(line)))
        .collect();
    let mut order = Vec::new();
    for name in WANTED {
        add(name, &files, &built_in, &mut order)?;
    }
    Ok(order)
}

fn add(name: &str, files: &BTreeMap<String, PathBuf>, built_in: &[String], order: &mut Vec<Module>) -> Result<()> {
    if order.iter().any(|module| module.name == name) || built_in.iter().any(|module| module == name) {
        return Ok(());
    }
    let path = files
        .get(name)
        .with_context(|| format!("the kernel has no module {name}"))?;
    let content = read(path)?;
    // No module needs itself, not even by way of others: depmod would refuse it.
    for needed in depends(&content) {
        add(&needed, files, built_in, order)?;
    }
    order.push(Module {
        name: name.to_owned(),
        content,
    });
    Ok(())
}

fn index(directory: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            index(&entry.path(), files)?;
        } else if let Some(name) = module_name(&entry.path()) {
            files.insert(name, entry.path());
        }
    }
    Ok(())
}

/// `udp_tunnel` for `kernel/net/ipv4/udp_tunnel.ko.xz`; names in files may have hyphens.
fn module_name(path: &Path) -> Option<String> {
    let file = path.file_name()?.to_str()?;
    let (name, compression) = file.split_once(".ko")?;
    ["", ".xz", ".zst"]
        .contains(&compression)
        .then(|| name.replace('-', "_"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let output = Command::new(program).arg("-dcq").arg(path).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    if !output.status.success() {
        bail!("{program} cannot unpack {}", path.display());
    }
    Ok(output.stdout)
}

/// What a module's own `.modinfo` section says that it needs.
fn depends(module: &[u8]) -> Vec<String> {
    let key = b"\0depends=";
    let Some(start) = module.windows(key.len()).position(|window| window == key) else {
        return Vec::new();
    };
    let value = module[start + key.len()..]
        .split(|&byte| byte == 0)
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(value)
        .split(',')
        .filter(|name| !name.is_empty())
        .map(|name| name.replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_module_needs_is_in_its_modinfo() {
        assert_eq!(
            depends(b"\x7fELF\0license=GPL\0depends=udp-tunnel,ip6_udp_tunnel\0intree=Y\0"),
            ["udp_tunnel", "ip6_udp_tunnel"]
        );
        assert!(depends(b"license=GPL\0depends=\0").is_empty());
        assert!(depends(b"no module").is_empty());
    }

    #[test]
    fn files_are_known_by_the_names_of_their_modules() {
        for (file, name) in [
            ("kernel/drivers/net/veth.ko", Some("veth")),
            ("kernel/net/sched/cls-bpf.ko.xz", Some("cls_bpf")),
            ("bridge.ko.zst", Some("bridge")),
            ("modules.dep", None),
            ("veth.ko.sig", None),
        ] {
            assert_eq!(module_name(Path::new(file)).as_deref(), name, "{file}");
        }
    }
}
