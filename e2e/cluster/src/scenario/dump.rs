//! `kpr sysdump` on a node that serves.

use std::{collections::BTreeMap, fs, io::Read as _, path::Path};

use anyhow::{Context as _, Result, ensure};
use flate2::read::GzDecoder;
use serde_json::Value;

use crate::cluster::Cluster;

/// An archive's files by their names in its folder.
type Files = BTreeMap<String, String>;

/// What nobody may find in an archive.
pub(super) const SECRET: &str = "planted-token-4711";

/// The archive has every part and no error; `flow` is a client of a flow that is there. What a dump must not read is not in it.
pub(super) async fn every_part_is_there_and_no_secret(cluster: &Cluster, node: &str, flow: &str) -> Result<()> {
    let host = cluster.testbed().host(node)?;
    let (file, kubeconfig) = (host.dir.join("dump.tar.gz"), host.dir.join("dump-kubeconfig"));
    fs::write(
        &kubeconfig,
        format!("users: [{{name: me, user: {{token: {SECRET}}}}}]\n"),
    )?;
    let kpr = cluster.kpr(node)?.args(["sysdump", "--output"]).arg(&file);
    let kpr = kpr.env("KUBECONFIG", &kubeconfig).env("REGISTRY_PASSWORD", SECRET);
    let said = kpr.output().await?.success()?;
    let files = unpack(&file, "kpr-sysdump-node-")?;
    let part = |name: &str| part(&files, name);
    ensure!(!files.contains_key("errors.txt"), "{}", part("errors.txt")?);
    ensure!(
        said == format!("{}: {} files.\n", file.display(), files.len()),
        "{said}"
    );
    for (name, words) in [
        ("version.txt", "rules of kube-proxy: no rules"),
        ("status.txt", "KubeProxyReplacement:"),
        ("services.txt", "default/sticky:http"),
        ("services.json", "\"default/sticky\""),
        ("backends.json", "\"frontends\": 2"),
        ("flows.txt", flow),
        ("affinity.txt", "default/sticky:http"),
        ("maps.txt", "SERVICES4"),
        ("log.json", "\"filter\""),
        ("metrics.txt", "kpr_phase{"),
        ("pins.txt", "cgroup-kpr_connect4"),
        ("devices.txt", ": lo up"),
        ("routes.txt", "unicast default via "),
        ("rules.txt", "IPv4 32766: lookup 254"),
        ("sysctls.txt", "net/ipv4/ip_local_reserved_ports = "),
        ("contents.txt", "Left out: tokens"),
    ] {
        ensure!(part(name)?.contains(words), "{words} is not in {name}: {}", part(name)?);
    }
    let status: Value = serde_json::from_str(part("status.json")?)?;
    ensure!(status["phase"] == "Active" && status["policy"].is_object(), "{status}");
    no_secret(&files)
}

/// The file of this name.
pub(super) fn part<'f>(files: &'f Files, name: &str) -> Result<&'f String> {
    files
        .get(name)
        .with_context(|| format!("no {name} in {:?}", files.keys()))
}

/// [`SECRET`] is nowhere.
pub(super) fn no_secret(files: &Files) -> Result<()> {
    for (name, text) in files {
        ensure!(!text.contains(SECRET), "{name} has the secret");
    }
    Ok(())
}

/// What an archive has in its folder, whose name begins with `folder`.
pub(super) fn unpack(archive: &Path, folder: &str) -> Result<Files> {
    let mut archive = tar::Archive::new(GzDecoder::new(fs::File::open(archive)?));
    let mut files = BTreeMap::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.display().to_string();
        ensure!(path.starts_with(folder), "{path}");
        let (_folder, name) = path.split_once('/').context("a file in a folder")?;
        let mut text = String::new();
        entry.read_to_string(&mut text)?;
        files.insert(name.to_owned(), text);
    }
    Ok(files)
}
