//! cpio archives in the form that the kernel unpacks at boot: "newc",
//! <https://docs.kernel.org/driver-api/early-userspace/buffer-format.html>.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{self, Write},
    path::Path,
};

const DIRECTORY: u32 = 0o040_755;
const FILE: u32 = 0o100_755;
const LINK: u32 = 0o120_777;

/// An archive being written. Directories come by themselves, before what is in them.
#[derive(Debug)]
pub(super) struct Archive<W> {
    to: W,
    inode: u32,
    known: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(to: W) -> Self {
        Self {
            to,
            inode: 0,
            known: BTreeSet::new(),
        }
    }

    /// Adds an empty directory. Paths have no leading slash.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, DIRECTORY, &[])
    }

    /// Adds an executable file; one that is there already stays as it is.
    pub(super) fn file(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        self.entry(path, FILE, content)
    }

    /// Adds a symbolic link.
    pub(super) fn link(&mut self, path: &str, target: &str) -> io::Result<()> {
        self.entry(path, LINK, target.as_bytes())
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.write("TRAILER!!!", 0, &[])?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        if !self.known.insert(path.to_owned()) {
            return Ok(());
        }
        if let Some(parent) = Path::new(path).parent().and_then(Path::to_str)
            && !parent.is_empty()
        {
            self.directory(parent)?;
        }
        self.write(path, mode, content)
    }

    fn write(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let too_large = |_| io::Error::other(format!("{path} is too large for a cpio archive"));
        let size = u32::try_from(content.len()).map_err(too_large)?;
        let name_size = u32::try_from(path.len() + 1).map_err(too_large)?;
        self.inode += 1;
        // Inode, mode, owner, group, links, time, size, device, device of a node, length of the name, checksum.
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        let mut header = String::from("070701");
        for field in fields {
            // Writing to a String cannot fail.
            let _ = write!(header, "{field:08x}");
        }
        header.push_str(path);
        header.push('\0');
        self.padded(header.as_bytes())?;
        self.padded(content)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.to.write_all(bytes)?;
        self.to.write_all(&[0; 3][..bytes.len().wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_directories_come_before_what_is_in_them() {
        let mut archive = Archive::new(Vec::new());
        archive.file("bin/tools/ip", b"hello").unwrap();
        archive.link("bin/sh", "busybox").unwrap();
        archive.file("bin/tools/ip", b"again").unwrap();
        let bytes = archive.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);

        let mut names = Vec::new();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let number = |field: usize| {
                let text = std::str::from_utf8(&rest[6 + 8 * field..14 + 8 * field]).unwrap();
                usize::from_str_radix(text, 16).unwrap()
            };
            assert_eq!(&rest[..6], b"070701");
            let (size, name_size) = (number(6), number(11));
            let name = std::str::from_utf8(&rest[110..110 + name_size - 1]).unwrap();
            let content = (110 + name_size).next_multiple_of(4);
            names.push((name.to_owned(), rest[content..content + size].to_vec()));
            rest = &rest[(content + size).next_multiple_of(4)..];
        }
        let expected: [(&str, &[u8]); 5] = [
            ("bin", b""),
            ("bin/tools", b""),
            ("bin/tools/ip", b"hello"),
            ("bin/sh", b"busybox"),
            ("TRAILER!!!", b""),
        ];
        assert_eq!(
            names,
            expected.map(|(name, content)| (name.to_owned(), content.to_vec()))
        );
    }
}
