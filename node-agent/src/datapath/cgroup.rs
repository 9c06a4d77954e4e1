//! The socket hooks, on one cgroup2 directory.

use super::{Attachment, Error, links, pins::Pins, verify};
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, CgroupSockAddr, ProgramError, links::FdLink},
};
use std::{fs::File, os::fd::AsFd, path::Path};

/// The programs of the socket hooks; their attach types are in the object file.
const PROGRAMS: [&str; 8] = [
    "kpr_connect4",
    "kpr_connect6",
    "kpr_sendmsg4",
    "kpr_sendmsg6",
    "kpr_recvmsg4",
    "kpr_recvmsg6",
    "kpr_getpeername4",
    "kpr_getpeername6",
];

/// Detaches the socket programs that an earlier run attached.
pub(super) fn detach(pins: &Pins) -> Result<(), Error> {
    PROGRAMS
        .iter()
        .try_for_each(|name| links::unpin(&pins.cgroup_link(name)))
}

/// Loads the socket programs and attaches each, or swaps it in where an earlier run attached it.
pub(super) fn attach(ebpf: &mut Ebpf, cgroup_root: &Path, pins: &Pins) -> Result<Vec<Attachment>, Error> {
    let cgroup = File::open(cgroup_root).map_err(|source| Error::Io {
        what: format!("open the cgroup {}", cgroup_root.display()),
        source,
    })?;
    let mut attachments = Vec::new();
    for name in PROGRAMS {
        let failed = |what: &'static str| {
            move |source: ProgramError| Error::Program {
                what,
                program: name,
                source,
            }
        };
        let program: &mut CgroupSockAddr = ebpf
            .program_mut(name)
            .ok_or(Error::Missing(name))?
            .try_into()
            .map_err(failed("find"))?;
        // A second time, where a repair attaches it again, it is loaded already.
        if program.fd().is_err() {
            verify::load(|| program.load()).map_err(failed("load"))?;
        }
        let pin = pins.cgroup_link(name);
        let fd = program.fd().map_err(failed("load"))?.as_fd().try_clone_to_owned();
        let fd = fd.map_err(|source| Error::Io {
            what: format!("keep the program {name}"),
            source,
        })?;
        if links::swap(&pin, fd.as_fd())? == links::Outcome::Absent {
            // `Single`: as a link it coexists with other programs; `AllowMultiple` is refused for links.
            let id = program
                .attach(&cgroup, CgroupAttachMode::Single)
                .map_err(failed("attach"))?;
            let link = program.take_link(id).map_err(failed("attach"))?;
            let link: FdLink = link.try_into().map_err(|_| Error::Io {
                what: format!("pin {name}: not a link"),
                source: std::io::ErrorKind::Unsupported.into(),
            })?;
            links::pin(link, &pin)?;
        }
        attachments.push(Attachment {
            program: name.to_owned(),
            hook: "cgroup",
            target: cgroup_root.display().to_string(),
        });
    }
    Ok(attachments)
}
