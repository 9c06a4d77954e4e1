//! The archive: files as they come, then what could not be gathered, then a table of contents.

use std::{fmt::Write as _, io::Write};

use anyhow::Context as _;
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;

/// An archive that is being written (`tar`, compressed by gzip).
pub(super) struct Archive<W: Write> {
    tar: tar::Builder<GzEncoder<W>>,
    /// The folder that everything is in.
    folder: String,
    at: Timestamp,
    contents: String,
    errors: String,
}

/// What became of an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) files: usize,
    pub(super) failed: usize,
}

const ERRORS: &str = "errors.txt";
const CONTENTS: &str = "contents.txt";

impl<W: Write> Archive<W> {
    /// Nothing is in it yet.
    pub(super) fn new(out: W, folder: String, at: Timestamp) -> Self {
        Self {
            tar: tar::Builder::new(GzEncoder::new(out, Compression::default())),
            folder,
            at,
            contents: String::new(),
            errors: String::new(),
        }
    }

    /// Adds a part, or why it could not be gathered, which the standard error is told too. An error is the archive's own.
    pub(super) fn add(&mut self, name: &str, about: &str, part: anyhow::Result<String>) -> anyhow::Result<()> {
        match part {
            Ok(text) => {
                // Writing to a string can't fail.
                let _ = writeln!(self.contents, "{name:<24}{:>10}  {about}", text.len());
                self.append(name, &text)
            }
            Err(error) => {
                self.failed(name, &format!("{error:#}"));
                Ok(())
            }
        }
    }

    /// Notes something that is not as it should be with a part.
    pub(super) fn failed(&mut self, name: &str, why: &str) {
        anstream::eprintln!("kpr: {name}: {why}");
        let _ = writeln!(self.errors, "{name}: {why}");
    }

    /// Ends it. `left_out`: what is not in it on purpose.
    pub(super) fn end(mut self, left_out: &str) -> anyhow::Result<Written> {
        let failed = self.errors.lines().count();
        if failed > 0 {
            let errors = std::mem::take(&mut self.errors);
            self.add(ERRORS, "what could not be gathered, and why", Ok(errors))?;
        }
        let contents = format!("{:<24}{:>10}\n{}\n{left_out}", "File", "Bytes", self.contents);
        self.append(CONTENTS, &contents)?;
        let written = Written {
            files: contents.lines().take_while(|line| !line.is_empty()).count(),
            failed,
        };
        let mut out = self.tar.into_inner().and_then(GzEncoder::finish).context(CANNOT)?;
        out.flush().context(CANNOT)?;
        Ok(written)
    }

    fn append(&mut self, name: &str, text: &str) -> anyhow::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(text.len())?);
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(self.at.as_second())?);
        let path = format!("{}/{name}", self.folder);
        self.tar.append_data(&mut header, path, text.as_bytes()).context(CANNOT)
    }
}

const CANNOT: &str = "cannot write the archive";

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, io::Read as _};

    use flate2::read::GzDecoder;

    use super::*;

    fn read(archive: &[u8]) -> BTreeMap<String, String> {
        let mut archive = tar::Archive::new(GzDecoder::new(archive));
        let file = |entry: std::io::Result<tar::Entry<'_, GzDecoder<&[u8]>>>| {
            let mut entry = entry.unwrap();
            let (mut text, name) = (String::new(), entry.path().unwrap().display().to_string());
            entry.read_to_string(&mut text).unwrap();
            (name, text)
        };
        archive.entries().unwrap().map(file).collect()
    }

    #[test]
    fn a_part_that_fails_leaves_its_error_and_all_others() {
        let mut out = Vec::new();
        let mut archive = Archive::new(&mut out, "dump".into(), Timestamp::UNIX_EPOCH);
        archive.add("status.txt", "the agent", Ok("well\n".into())).unwrap();
        let error = anyhow::anyhow!("refused").context("no metrics");
        archive.add("metrics.txt", "numbers", Err(error)).unwrap();
        archive.add("maps.txt", "maps", Ok(String::new())).unwrap();
        let written = archive.end("Left out: secrets.\n").unwrap();
        assert_eq!(written, Written { files: 4, failed: 1 });

        let files = read(&out);
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "dump/contents.txt",
                "dump/errors.txt",
                "dump/maps.txt",
                "dump/status.txt"
            ]
        );
        assert_eq!(files["dump/status.txt"], "well\n");
        assert_eq!(files["dump/errors.txt"], "metrics.txt: no metrics: refused\n");
        let contents = &files["dump/contents.txt"];
        assert!(
            contents.contains("status.txt                       5  the agent\n"),
            "{contents}"
        );
        assert!(contents.ends_with("\n\nLeft out: secrets.\n"), "{contents}");
    }

    #[test]
    fn where_nothing_fails_there_are_no_errors() {
        let mut out = Vec::new();
        let mut archive = Archive::new(&mut out, "dump".into(), Timestamp::UNIX_EPOCH);
        archive.add("maps.txt", "maps", Ok("none\n".into())).unwrap();
        assert_eq!(archive.end("").unwrap(), Written { files: 2, failed: 0 });
        assert_eq!(read(&out).len(), 2);
    }
}
