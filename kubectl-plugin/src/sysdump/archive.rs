//! The archive of all nodes.

use std::io::{Read as _, Write};

use anyhow::{Context as _, Result};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use jiff::Timestamp;

/// An archive that is being written (`tar`, compressed by gzip).
pub(super) struct Archive<W: Write> {
    tar: tar::Builder<GzEncoder<W>>,
    folder: String,
    at: Timestamp,
    contents: Vec<String>,
    errors: Vec<String>,
}

const CANNOT: &str = "cannot write the archive";

impl<W: Write> Archive<W> {
    /// Nothing is in it yet; all will be in `folder`.
    pub(super) fn new(out: W, folder: String, at: Timestamp) -> Self {
        Self {
            tar: tar::Builder::new(GzEncoder::new(out, Compression::default())),
            folder,
            at,
            contents: Vec::new(),
            errors: Vec::new(),
        }
    }

    /// Adds a part, or why it could not be gathered.
    pub(super) fn add(&mut self, name: &str, part: Result<Vec<u8>>) -> Result<()> {
        match part {
            Ok(bytes) => self.append(name, &bytes),
            Err(error) => {
                self.failed(name, &error);
                Ok(())
            }
        }
    }

    /// Notes why a part is not there, and tells the standard error.
    pub(super) fn failed(&mut self, name: &str, error: &anyhow::Error) {
        let line = format!("{name}: {error:#}");
        eprintln!("kubectl kpr: {line}");
        self.errors.push(line);
    }

    /// Adds what is in an archive of a node, with `prefix` for that one's own folder. What of it was cut off is an error of that part.
    pub(super) fn nest(&mut self, prefix: &str, archive: Result<Vec<u8>>) -> Result<()> {
        match archive.and_then(|archive| unpack(&archive)) {
            Ok(files) => files
                .into_iter()
                .try_for_each(|(name, bytes)| self.append(&format!("{prefix}/{name}"), &bytes)),
            Err(error) => {
                self.failed(prefix, &error);
                Ok(())
            }
        }
    }

    /// Ends it. Returns how many parts could not be gathered.
    pub(super) fn end(mut self) -> Result<usize> {
        let failed = self.errors.len();
        if failed > 0 {
            let errors = self.errors.join("\n") + "\n";
            self.append("errors.txt", errors.as_bytes())?;
        }
        let contents = self.contents.join("\n")
            + "\n\nLeft out: Secrets, kubeconfigs, environments and values of annotations. Addresses and names are in.\n";
        self.append("contents.txt", contents.as_bytes())?;
        let mut out = self.tar.into_inner().and_then(GzEncoder::finish).context(CANNOT)?;
        out.flush().context(CANNOT)?;
        Ok(failed)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(bytes.len())?);
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(self.at.as_second())?);
        self.tar
            .append_data(&mut header, format!("{}/{name}", self.folder), bytes)
            .context(CANNOT)?;
        self.contents.push(format!("{:>10}  {name}", bytes.len()));
        Ok(())
    }
}

/// The files of a node's archive, by their names in its folder.
fn unpack(archive: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let not_whole = "the archive of the node is not whole";
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    let mut files = Vec::new();
    for entry in archive.entries().context(not_whole)? {
        let mut entry = entry.context(not_whole)?;
        let path = entry.path().context(not_whole)?;
        // Nothing but names that a node's own archive has: they are to stay inside of its folder here, too.
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.context(not_whole)?;
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).context(not_whole)?;
        files.push((name, bytes));
    }
    Ok(files)
}
