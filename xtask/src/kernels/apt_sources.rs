//! apt with lists, cache and sources of this command's own: the machine's configuration is not touched, nothing is installed.

use std::{
    env,
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use super::catalog::{Origin, TRIXIE};
use crate::{apt, console, process};

const KEYRINGS: &str = "/usr/share/keyrings";

/// apt for one origin.
#[derive(Debug)]
pub(super) struct Apt {
    directory: PathBuf,
}

impl Apt {
    /// Prepares `directory` and gets the package lists of `origin`.
    pub(super) fn open(directory: PathBuf, origin: Origin) -> Result<Self> {
        let keyring = keyring(&directory, origin)?;
        for part in ["lists/partial", "cache/archives/partial"] {
            let path = directory.join(part);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let mut sources = String::new();
        for (label, suite) in origin.suites {
            let archive = archive(label, origin.variable)?;
            // Writing to a String cannot fail.
            let _ = writeln!(
                sources,
                "deb [arch=amd64 signed-by={}] {archive} {suite} main",
                keyring.display()
            );
        }
        let list = directory.join("sources.list");
        fs::write(&list, sources).with_context(|| format!("cannot write {}", list.display()))?;
        let apt = Self { directory };
        process::capture(apt.command("apt-get").args(["-qq", "update"]))?;
        Ok(apt)
    }

    /// The package that the newest version of a meta-package depends on, whose name begins with `prefix`.
    pub(super) fn dependency(&self, meta: &str, prefix: &str) -> Result<String> {
        let shown = process::capture(self.command("apt-cache").args(["show", "--no-all-versions", meta]))?;
        first_dependency(&shown, prefix).with_context(|| format!("{meta} depends on no {prefix}… package"))
    }

    /// Downloads packages into a directory and returns the files.
    pub(super) fn download(&self, packages: &[String], into: &Path) -> Result<Vec<PathBuf>> {
        fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
        console::note(&format!("apt-get download {}", packages.join(" ")));
        process::capture(
            self.command("apt-get")
                .current_dir(into)
                .arg("-q")
                .arg("download")
                .args(packages),
        )?;
        let mut files = Vec::new();
        for package in packages {
            files.push(apt::file_of(package, into)?);
        }
        Ok(files)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let option = |name: &str, part: &str| format!("{name}={}", self.directory.join(part).display());
        command.args(["-o", &option("Dir::Etc::SourceList", "sources.list")]);
        command.args(["-o", "Dir::Etc::SourceParts=/dev/null"]);
        command.args(["-o", &option("Dir::State::Lists", "lists")]);
        command.args(["-o", &option("Dir::Cache", "cache")]);
        // Its directory belongs to whoever runs this.
        command.args(["-o", "APT::Sandbox::User=", "-o", "Acquire::Retries=3"]);
        command
    }
}

/// Where an archive is: as `variable` says, or as the machine's own apt has it.
fn archive(label: &str, variable: &str) -> Result<String> {
    if let Ok(given) = env::var(variable) {
        // The security suites are in an archive beside the main one.
        let beside = if label.ends_with("-Security") { "-security" } else { "" };
        return Ok(format!("{}{beside}", given.trim_end_matches('/')));
    }
    let known = process::capture(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(LABEL) $(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    archive_of(&known, label).with_context(|| {
        format!("this machine's apt knows no archive of {label}: name a mirror in the environment variable {variable}")
    })
}

/// The address of the archive with this label, of lines of a label and an address.
fn archive_of(known: &str, label: &str) -> Option<String> {
    let mut archives = known.lines().filter_map(|line| line.split_once(' '));
    let (_, address) = archives.find(|(found, _)| *found == label)?;
    Some(address.trim_end_matches('/').to_owned())
}

/// The keyring of an origin: the machine's, or one unpacked from a package that Debian has signed.
fn keyring(directory: &Path, origin: Origin) -> Result<PathBuf> {
    let ours = Path::new(KEYRINGS).join(origin.keyring);
    if ours.exists() {
        return Ok(ours);
    }
    let Some(package) = origin.keyring_package else {
        bail!(
            "there is no {}: install the package debian-archive-keyring",
            ours.display()
        );
    };
    let place = directory.join("keyring");
    let unpacked = place.join("root");
    let keyring = unpacked.join("usr/share/keyrings").join(origin.keyring);
    if !keyring.exists() {
        let apt = Apt::open(place.join("apt"), TRIXIE)?;
        // The package of that name may only stand for its successor.
        let names = [package.to_owned(), package.replace("-archive", "")];
        apt::unpack(&apt.download(&names, &place)?, &unpacked)?;
    }
    Ok(keyring)
}

/// The first package of a `Depends:` line that begins with `prefix`.
fn first_dependency(shown: &str, prefix: &str) -> Option<String> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: "))?;
    let mut names = depends
        .split([',', '|'])
        .filter_map(|part| part.split_whitespace().next());
    names.find(|name| name.starts_with(prefix)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_found_by_its_label() {
        let known = "Debian http://mirror.example/debian/\nDebian-Security http://mirror.example/debian-security/\n";
        assert_eq!(
            archive_of(known, "Debian-Security").as_deref(),
            Some("http://mirror.example/debian-security")
        );
        assert_eq!(archive_of(known, "Ubuntu"), None);
    }

    #[test]
    fn a_meta_package_names_its_image() {
        let shown = "Package: linux-image-cloud-amd64\nDepends: linux-base (>= 1), linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n";
        assert_eq!(
            first_dependency(shown, "linux-image-").as_deref(),
            Some("linux-image-6.1.0-56-cloud-amd64")
        );
        assert_eq!(first_dependency(shown, "linux-headers-"), None);
        assert_eq!(first_dependency("Package: x\n", "linux-image-"), None);
    }
}
