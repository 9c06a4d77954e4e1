//! What guests said in earlier runs, so that kernels can be tried one at a time: a run of all of them takes an hour and more.

use std::{
    collections::hash_map::DefaultHasher,
    fs,
    hash::{Hash as _, Hasher as _},
    io,
    path::PathBuf,
    time::Instant,
};

use anyhow::{Context as _, Result};

use super::{Series, Tried, findings::Findings};
use crate::layout::Layout;

/// What tells one build of the eBPF programs from another.
pub(super) fn fingerprint(layout: &Layout) -> Result<String> {
    let object = layout.object("kpr-bpf");
    let bytes = fs::read(&object).with_context(|| format!("cannot read {}", object.display()))?;
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

/// Keeps what a guest said about these programs, beside what it said about them before.
pub(super) fn keep(layout: &Layout, series: Series, programs: &str, tried: &Tried) -> Result<()> {
    let path = path(layout, series);
    let head = format!("{programs}\n");
    let before = fs::read_to_string(&path)
        .ok()
        .filter(|text| text.starts_with(&head))
        .unwrap_or(head);
    let text = format!("{before}{}\n", tried.lines.join("\n"));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

/// What the guest of this series said about these programs; `None` if it was not asked yet.
pub(super) fn of(layout: &Layout, series: Series, programs: &str) -> Result<Option<Findings>> {
    let path = path(layout, series);
    match fs::read_to_string(&path) {
        Ok(text) => Ok(parse(&text, programs)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn parse(text: &str, programs: &str) -> Option<Findings> {
    let (of, lines) = text.split_once('\n')?;
    let mut findings = Findings::default();
    for line in lines.lines() {
        findings.hear(line, Instant::now());
    }
    (of == programs).then_some(findings)
}

fn path(layout: &Layout, series: Series) -> PathBuf {
    layout.target.join("kernels").join(series.name()).join("heard")
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn what_was_said_about_other_programs_does_not_count() {
        let text = "abc\n@@ kernel 6.1.0\nconfigurations: 32\n";
        assert_eq!(
            parse(text, "abc").and_then(|findings| findings.configurations),
            Some(32)
        );
        assert!(parse(text, "def").is_none());
    }
}
