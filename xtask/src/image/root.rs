//! What is in an image: the programs, who may run them, licences and the list of parts.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Platform;
use crate::layout::Layout;

/// Users that a container may be told to run as. The image's own is the last one.
const PASSWD: &str = "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n";
const GROUP: &str = "root:x:0:\nnonroot:x:65532:\n";
/// What goes with every program, by names of files in the checkout.
pub(crate) const LICENSES: [&str; 2] = ["LICENSE", "NOTICE"];
/// Where licences and the list of parts are.
const DOCUMENTS: &str = "usr/share/doc/kpr";

/// The content of the image of one platform.
#[derive(Clone, Debug)]
pub(super) struct Content {
    pub(super) platform: Platform,
    /// The directory that becomes the root of the image.
    pub(super) root: PathBuf,
    pub(super) binaries: Vec<PathBuf>,
    /// The list of parts, beside the archive; the same is in the image.
    pub(super) sbom: PathBuf,
}

/// Lays out the root of the image below `directory`.
pub(super) fn lay_out(
    layout: &Layout,
    directory: &Path,
    platform: Platform,
    programs: &[PathBuf],
    sbom: &Value,
) -> Result<Content> {
    let architecture = platform.architecture();
    let root = directory.join(format!("root-{architecture}"));
    if root.exists() {
        fs::remove_dir_all(&root).with_context(|| format!("cannot remove {}", root.display()))?;
    }
    let sbom = serde_json::to_vec_pretty(sbom).context("the list of parts is no JSON")?;
    let read = |path: &Path| fs::read(path).with_context(|| format!("cannot read {}", path.display()));
    let mut binaries = Vec::new();
    for program in programs {
        let name = program.file_name().context("a program without a name")?;
        let file = root.join("usr/bin").join(name);
        write(&file, &read(program)?, 0o755)?;
        binaries.push(file);
    }
    write(&root.join("etc/passwd"), PASSWD.as_bytes(), 0o644)?;
    write(&root.join("etc/group"), GROUP.as_bytes(), 0o644)?;
    let documents = root.join(DOCUMENTS);
    for name in LICENSES {
        write(&documents.join(name), &read(&layout.root.join(name))?, 0o644)?;
    }
    write(&documents.join("sbom.cdx.json"), &sbom, 0o644)?;
    let beside = directory.join(format!("kpr-{architecture}.cdx.json"));
    write(&beside, &sbom, 0o644)?;
    Ok(Content {
        platform,
        root,
        binaries,
        sbom: beside,
    })
}

/// Writes a file, with modes that don't depend on the umask.
fn write(file: &Path, content: &[u8], mode: u32) -> Result<()> {
    let directory = file.parent().context("a file without a directory")?;
    let allow = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode));
    let written = fs::create_dir_all(directory)
        .and_then(|()| allow(directory, 0o755))
        .and_then(|()| fs::write(file, content))
        .and_then(|()| allow(file, mode));
    written.with_context(|| format!("cannot write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_has_programs_users_licences_and_its_parts_and_nothing_else() {
        let layout = Layout::find().unwrap();
        let directory = std::env::temp_dir().join(format!("xtask-image-{}", std::process::id()));
        let program = directory.join("kpr");
        write(&program, b"program", 0o700).unwrap();
        let content = lay_out(&layout, &directory, Platform::Amd64, &[program], &Value::Null).unwrap();
        let mut found = Vec::new();
        let mut waiting = vec![content.root.clone()];
        while let Some(next) = waiting.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    let mode = path.metadata().unwrap().permissions().mode() & 0o777;
                    let inside = path.strip_prefix(&content.root).unwrap().display().to_string();
                    found.push(format!("{mode:o} {inside}"));
                }
            }
        }
        found.sort();
        assert_eq!(
            found,
            [
                "644 etc/group",
                "644 etc/passwd",
                "644 usr/share/doc/kpr/LICENSE",
                "644 usr/share/doc/kpr/NOTICE",
                "644 usr/share/doc/kpr/sbom.cdx.json",
                "755 usr/bin/kpr",
            ]
        );
        fs::remove_dir_all(&directory).unwrap();
    }
}
