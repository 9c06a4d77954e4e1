//! The socket hooks, on one cgroup2 directory.

use super::{Attachment, Error, links, pins::Pins, verify};
use aya::{
    Ebpf,
    programs::{CgroupAttachMode, Program, ProgramError, links::FdLink},
};
use std::{fs::File, os::fd::AsFd, path::Path};

/// Programs that lead sockets to backends; their attach types are in the object file.
pub(super) const BALANCE: &[&str] = &[
    "kpr_connect4",
    "kpr_connect6",
    "kpr_sendmsg4",
    "kpr_sendmsg6",
    "kpr_recvmsg4",
    "kpr_recvmsg6",
    "kpr_getpeername4",
    "kpr_getpeername6",
    "kpr_sock_release",
];
/// Programs that keep processes of the node off ports that Services have.
pub(super) const PROTECT: &[&str] = &["kpr_post_bind4", "kpr_post_bind6"];

/// Programs that belong together, and whether they are wanted.
pub(super) type Group = (&'static [&'static str], bool);

/// Loads and attaches the programs of each group that is wanted, or swaps them in where an earlier run attached them; detaches
/// the others.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    cgroup_root: &Path,
    pins: &Pins,
    groups: &[Group],
) -> Result<Vec<Attachment>, Error> {
    let cgroup = File::open(cgroup_root).map_err(|source| Error::Io {
        what: format!("open the cgroup {}", cgroup_root.display()),
        source,
    })?;
    let mut attachments = Vec::new();
    for (programs, wanted) in groups {
        for &name in *programs {
            if *wanted {
                attach_one(ebpf, name, &cgroup, pins)?;
                attachments.push(Attachment {
                    program: name.to_owned(),
                    hook: "cgroup",
                    target: cgroup_root.display().to_string(),
                });
            } else {
                links::unpin(&pins.cgroup_link(name))?;
            }
        }
    }
    Ok(attachments)
}

fn attach_one(ebpf: &mut Ebpf, name: &'static str, cgroup: &File, pins: &Pins) -> Result<(), Error> {
    let failed = |what: &'static str| {
        move |source: ProgramError| Error::Program {
            what,
            program: name,
            source,
        }
    };
    let program = ebpf.program_mut(name).ok_or(Error::Missing(name))?;
    // A second time, where a repair attaches it again, it is loaded already.
    if program.fd().is_err() {
        verify::load(|| load(program)).map_err(failed("load"))?;
    }
    let pin = pins.cgroup_link(name);
    let fd = program.fd().map_err(failed("load"))?.as_fd().try_clone_to_owned();
    let fd = fd.map_err(|source| Error::Io {
        what: format!("keep the program {name}"),
        source,
    })?;
    if links::swap(&pin, fd.as_fd())? == links::Outcome::Absent {
        let link = links::attach(|| link(program, cgroup)).map_err(failed("attach"))?;
        let link = link.ok_or_else(|| Error::Io {
            what: format!("pin {name}: not a link"),
            source: std::io::ErrorKind::Unsupported.into(),
        })?;
        links::pin(link, &pin)?;
    }
    Ok(())
}

fn load(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::CgroupSockAddr(program) => program.load(),
        Program::CgroupSock(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

/// `None`: a kernel without links. `Single`: as a link it coexists with other programs; `AllowMultiple` is refused for links.
fn link(program: &mut Program, cgroup: &File) -> Result<Option<FdLink>, ProgramError> {
    let mode = CgroupAttachMode::Single;
    match program {
        Program::CgroupSockAddr(program) => {
            let id = program.attach(cgroup, mode)?;
            Ok(program.take_link(id)?.try_into().ok())
        }
        Program::CgroupSock(program) => {
            let id = program.attach(cgroup, mode)?;
            Ok(program.take_link(id)?.try_into().ok())
        }
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}
