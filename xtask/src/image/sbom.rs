//! The list of what the image is made of (CycloneDX 1.5), from what cargo knows: exactly the packages that are linked into the
//! programs of this platform, and into the eBPF object that the agent embeds.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{Platform, binaries::IMAGE};
use crate::{layout::Layout, process, toolchain};

/// A package, by name and version.
type Id = (String, String);

pub(super) fn of(layout: &Layout, platform: Platform) -> Result<Value> {
    let mut user_space = vec!["--target", platform.target()];
    for (package, _) in IMAGE {
        user_space.extend(["--package", package]);
    }
    let bpf = layout.bpf_workspace();
    let mut parts = BTreeMap::new();
    for (workspace, arguments) in [(&layout.root, user_space), (&bpf, vec!["--target", "all"])] {
        let linked = linked(workspace, &arguments)?;
        let known = describe(workspace)?;
        let checksums = checksums(
            &std::fs::read_to_string(workspace.join("Cargo.lock"))
                .with_context(|| format!("cannot read Cargo.lock in {}", workspace.display()))?,
        );
        for id in linked {
            let package = known
                .get(&id)
                .with_context(|| format!("cargo metadata does not know {}", id.0))?;
            let component = component(&id, package, checksums.get(&id).map(String::as_str));
            parts.insert(id, component);
        }
    }
    let components: Vec<Value> = parts.into_values().collect();
    let version = env!("CARGO_PKG_VERSION");
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {
            "type": "container", "bom-ref": "kpr", "name": "kpr", "version": version,
            "licenses": [{"expression": "Apache-2.0"}],
            "properties": [{"name": "platform", "value": platform.to_string()}, {"name": "rustc", "value": rustc()?}],
        }},
        "components": components,
    }))
}

/// The packages that are linked in: no build scripts, no macros, no tests.
fn linked(workspace: &Path, arguments: &[&str]) -> Result<BTreeSet<Id>> {
    let mut command = cargo(workspace);
    command.args([
        "tree",
        "--locked",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
    ]);
    let tree = process::capture(command.args(["--format", "{p}"]).args(arguments))?;
    Ok(tree.lines().filter_map(package_of).collect())
}

/// `serde v1.0.0 (/path) (*)`
fn package_of(line: &str) -> Option<Id> {
    let mut words = line.split_whitespace();
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    Some((name.to_owned(), version.to_owned()))
}

/// What the packages say of themselves.
fn describe(workspace: &Path) -> Result<BTreeMap<Id, Value>> {
    let metadata = process::capture(cargo(workspace).args(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cannot read what cargo metadata prints")?;
    let packages = metadata["packages"].as_array().cloned().unwrap_or_default();
    let id = |package: &Value| {
        Some((
            package["name"].as_str()?.to_owned(),
            package["version"].as_str()?.to_owned(),
        ))
    };
    Ok(packages
        .into_iter()
        .filter_map(|package| Some((id(&package)?, package)))
        .collect())
}

fn cargo(workspace: &Path) -> Command {
    let mut command = toolchain::cargo();
    command.current_dir(workspace);
    command
}

fn component((name, version): &Id, package: &Value, checksum: Option<&str>) -> Value {
    let url = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({
        "type": "library", "bom-ref": url, "name": name, "version": version, "purl": url,
    });
    if let Some(license) = package["license"].as_str() {
        // An old way to write OR.
        component["licenses"] = json!([{"expression": license.replace('/', " OR ")}]);
    }
    if let Some(checksum) = checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = package["repository"].as_str() {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// The checksums in a lock file. Packages of the workspace have none.
fn checksums(lock: &str) -> BTreeMap<Id, String> {
    let of = |entry: &str, key: &str| {
        let line = entry
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    lock.split("[[package]]")
        .filter_map(|entry| Some(((of(entry, "name")?, of(entry, "version")?), of(entry, "checksum")?)))
        .collect()
}

/// Whose standard library is linked in.
fn rustc() -> Result<String> {
    Ok(process::capture(Command::new("rustc").arg("--version"))?
        .trim()
        .to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_are_read_from_a_tree() {
        let id = |name: &str, version: &str| Some((name.to_owned(), version.to_owned()));
        assert_eq!(package_of("serde v1.0.228"), id("serde", "1.0.228"));
        assert_eq!(package_of("kpr-abi v0.1.0 (/src/bpf/abi) (*)"), id("kpr-abi", "0.1.0"));
        assert_eq!(package_of(""), None);
    }

    #[test]
    fn checksums_are_read_from_a_lock_file() {
        let lock = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nsource = \"registry\"\nchecksum = \"0123\"\n\n\
                    [[package]]\nname = \"own\"\nversion = \"0.1.0\"\ndependencies = [\n \"a\",\n]\n";
        let expected = BTreeMap::from([(("a".to_owned(), "1.0.0".to_owned()), "0123".to_owned())]);
        assert_eq!(checksums(lock), expected);
    }

    #[test]
    fn a_part_says_what_it_is_where_it_comes_from_and_under_which_licence() {
        let id = ("a".to_owned(), "1.0.0".to_owned());
        let package = json!({"license": "MIT/Apache-2.0", "repository": "https://example.org/a"});
        let expected = json!({
            "type": "library", "bom-ref": "pkg:cargo/a@1.0.0", "name": "a", "version": "1.0.0", "purl": "pkg:cargo/a@1.0.0",
            "licenses": [{"expression": "MIT OR Apache-2.0"}],
            "hashes": [{"alg": "SHA-256", "content": "0123"}],
            "externalReferences": [{"type": "vcs", "url": "https://example.org/a"}],
        });
        assert_eq!(component(&id, &package, Some("0123")), expected);
    }

    #[test]
    fn the_image_is_made_of_what_is_linked_in_and_not_of_what_tests_it() {
        let sbom = of(&Layout::find().unwrap(), Platform::Amd64).unwrap();
        let components = sbom["components"].as_array().unwrap();
        let has = |name: &str| components.iter().any(|component| component["name"] == name);
        for name in [
            "kpr-operator",
            "kpr-node-agent",
            "kubectl-kpr",
            "kube-client",
            "aya",
            "aya-ebpf",
            "kpr-bpf",
        ] {
            assert!(has(name), "{name}");
        }
        for name in ["proptest", "kpr-apiserver", "serde_derive", "xtask"] {
            assert!(!has(name), "{name}");
        }
        for component in components {
            assert!(component["licenses"].is_array(), "{component}");
        }
    }
}
