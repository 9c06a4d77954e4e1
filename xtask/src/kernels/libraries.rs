//! Which shared libraries programs need.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// The libraries, and the dynamic linker, of some programs. A static program has none.
pub(super) fn of<'a>(programs: impl Iterator<Item = &'a PathBuf>) -> Result<BTreeSet<PathBuf>> {
    let mut libraries = BTreeSet::new();
    for program in programs {
        libraries.extend(of_one(program)?);
    }
    Ok(libraries)
}

fn of_one(program: &Path) -> Result<Vec<PathBuf>> {
    // Fails for static programs.
    let output = Command::new("ldd").arg(program).output().context("cannot start ldd")?;
    Ok(parse(&String::from_utf8_lossy(&output.stdout)))
}

fn parse(text: &str) -> Vec<PathBuf> {
    text.lines()
        .filter_map(|line| {
            let place = line.split_once("=>").map_or(line, |(_name, place)| place);
            let path = place.split_whitespace().next()?;
            path.starts_with('/').then(|| path.into())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_what_ldd_prints() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
                    \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f0d)\n\
                    \t/lib64/ld-linux-x86-64.so.2 (0x00007f0e)\n";
        let expected: [PathBuf; 2] = [
            "/lib/x86_64-linux-gnu/libc.so.6".into(),
            "/lib64/ld-linux-x86-64.so.2".into(),
        ];
        assert_eq!(parse(text), expected);
        assert!(parse("\tnot a dynamic executable\n").is_empty());
    }
}
