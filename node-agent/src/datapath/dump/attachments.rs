//! Where programs are attached, as far as pinned links tell. (Filters of kernels without tcx are not pinned.)

use super::super::{Error, pins::Pins};
use std::{io, path::Path};

/// A program and where it is attached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttachedProgram {
    /// Its name.
    pub program: String,
    /// Index of the device; none: a cgroup's hook.
    pub device: Option<u32>,
}

/// What is attached by links that are pinned under `bpffs_root`.
pub fn attachments(bpffs_root: &Path) -> Result<Vec<AttachedProgram>, Error> {
    let names = match Pins::new(bpffs_root).link_names() {
        Ok(names) => names,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(source) => {
            return Err(Error::Io {
                what: format!("read the pinned links under {}", bpffs_root.display()),
                source,
            });
        }
    };
    Ok(names.iter().filter_map(|name| attached(name)).collect())
}

/// By the name of a link's pin.
fn attached(name: &str) -> Option<AttachedProgram> {
    let on_device = |rest: &str, program: Option<&str>| {
        let (device, last) = rest.split_once('-')?;
        Some(AttachedProgram {
            program: program.unwrap_or(last).to_owned(),
            device: Some(device.parse().ok()?),
        })
    };
    match name.split_once('-')? {
        ("cgroup", program) => Some(AttachedProgram {
            program: program.to_owned(),
            device: None,
        }),
        ("tcx", rest) => on_device(rest, None),
        ("xdp", rest) => on_device(rest, Some(super::super::xdp::PROGRAM)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_pin_tells_program_and_device() {
        for (name, program, device) in [
            ("cgroup-kpr_connect4", "kpr_connect4", None),
            ("tcx-12-kpr_pod_ingress_l3", "kpr_pod_ingress_l3", Some(12)),
            ("xdp-3-generic", "kpr_xdp", Some(3)),
        ] {
            let found = attached(name).unwrap();
            assert_eq!((found.program.as_str(), found.device), (program, device), "{name}");
        }
        assert_eq!(attached("else"), None);
    }
}
