//! Archives whose bytes depend on what is in them and on nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::process;

/// An archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Archive {
    pub(super) file: PathBuf,
    pub(super) sha256: String,
}

impl Archive {
    /// Packs files, by their own names, into `NAME.tar.gz` in the directory, and writes its sum into `NAME.tar.gz.sha256`. All that is in it
    /// is of this time, in seconds since 1970.
    pub(super) fn pack(directory: &Path, name: &str, files: &[PathBuf], time: u64) -> Result<Self> {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
        let name = format!("{name}.tar.gz");
        let file = directory.join(&name);
        let mut tar = Command::new("tar");
        tar.args([
            "--create",
            "--format=ustar",
            "--owner=0",
            "--group=0",
            "--numeric-owner",
        ])
        .arg(format!("--mtime=@{time}"))
        // Whatever the umask was.
        .arg("--mode=u=rwX,go=rX")
        // Without a name and a time of its own.
        .arg("--use-compress-program=gzip -9n")
        .arg("--file")
        .arg(&file);
        for file in files {
            let name = file.file_name().context("a file without a name")?;
            let place = file.parent().context("a file without a directory")?;
            tar.arg("--directory").arg(place).arg(name);
        }
        process::capture(&mut tar)?;
        let sum = process::capture(Command::new("sha256sum").current_dir(directory).arg(&name))?;
        let beside = directory.join(format!("{name}.sha256"));
        fs::write(&beside, &sum).with_context(|| format!("cannot write {}", beside.display()))?;
        let sha256 = sum.split_whitespace().next().context("sha256sum said nothing")?;
        Ok(Self {
            file,
            sha256: sha256.to_owned(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::unix::fs::PermissionsExt as _,
        time::{Duration, SystemTime},
    };

    use super::*;

    #[test]
    fn the_same_files_are_the_same_archive_whenever_and_wherever_they_were_written() {
        let directory = std::env::temp_dir().join(format!("xtask-archive-{}", std::process::id()));
        let now = SystemTime::now();
        let pack = |place: &str, age: u64, mode: u32| {
            let place = directory.join(place);
            fs::create_dir_all(&place).unwrap();
            let files = ["program", "LICENSE"].map(|name| place.join(name));
            for (file, mode) in files.iter().zip([mode, mode & 0o666]) {
                fs::write(file, file.file_name().unwrap().as_encoded_bytes()).unwrap();
                fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
                let written = fs::File::options().append(true).open(file).unwrap();
                written.set_modified(now - Duration::from_hours(age)).unwrap();
            }
            Archive::pack(&place, "plugin", &files, 1_700_000_000).unwrap()
        };
        let (first, second) = (pack("first", 1, 0o700), pack("second", 2, 0o775));
        assert_eq!(first.sha256, second.sha256);

        let list = process::capture(Command::new("tar").args(["--utc", "-tvzf"]).arg(&first.file)).unwrap();
        let columns = list
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
        assert_eq!(
            columns.collect::<Vec<_>>(),
            [
                "-rwxr-xr-x 0/0 7 2023-11-14 22:13 program",
                "-rw-r--r-- 0/0 7 2023-11-14 22:13 LICENSE"
            ]
        );
        let mut check = Command::new("sha256sum");
        check
            .args(["--check", "plugin.tar.gz.sha256"])
            .current_dir(directory.join("first"));
        assert_eq!(process::capture(&mut check).unwrap(), "plugin.tar.gz: OK\n");
        fs::remove_dir_all(&directory).unwrap();
    }
}
