//! The initial RAM file system of a guest, which is all that it has.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::Path,
};

use anyhow::{Context, Result};

use super::{
    archive::Archive,
    binaries::Binaries,
    image::Image,
    jobs::{self, Job},
    libraries, modules,
};

const INIT: &str = include_str!("init.sh");

/// What init calls of busybox.
const APPLETS: [&str; 9] = [
    "sh", "mount", "mkdir", "insmod", "timeout", "poweroff", "uname", "cat", "ls",
];

/// kpr's client of the API server refuses to work without any, even where it needs none.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Places that something is mounted at.
const MOUNT_POINTS: [&str; 5] = ["proc", "sys", "dev", "run", "tmp"];

/// Writes the file system for one kernel.
pub(super) fn write(to: &Path, image: &Image, jobs: &[Job], binaries: &Binaries) -> Result<()> {
    let mut archive = Archive::new(BufWriter::new(File::create(to)?));
    for directory in MOUNT_POINTS {
        archive.directory(directory)?;
    }
    archive.file("init", INIT.as_bytes())?;
    archive.file("jobs", jobs::script(jobs).as_bytes())?;
    if Path::new(CERTIFICATES).exists() {
        copy(
            &mut archive,
            Path::new(CERTIFICATES),
            CERTIFICATES.trim_start_matches('/'),
        )?;
    }
    programs(&mut archive, binaries)?;
    let modules = modules::in_order(&image.modules)?;
    let mut order = String::new();
    for module in &modules {
        archive.file(&format!("modules/{}.ko", module.name), &module.content)?;
        order.push_str(&module.name);
        order.push('\n');
    }
    archive.file("modules/order", order.as_bytes())?;
    archive.finish()?;
    Ok(())
}

fn programs<W: Write>(archive: &mut Archive<W>, binaries: &Binaries) -> Result<()> {
    let Binaries { tested, tools, busybox } = binaries;
    copy(archive, busybox, "bin/busybox")?;
    for applet in APPLETS {
        archive.link(&format!("bin/{applet}"), "busybox")?;
    }
    for (directory, programs) in [("kpr", tested), ("bin", tools)] {
        for program in programs {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            copy(archive, program, &format!("{directory}/{name}"))?;
        }
    }
    for library in libraries::of(binaries.all())? {
        copy(archive, &library, library.to_string_lossy().trim_start_matches('/'))?;
    }
    Ok(())
}

fn copy<W: Write>(archive: &mut Archive<W>, from: &Path, to: &str) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
    archive.file(to, &content)?;
    Ok(())
}
