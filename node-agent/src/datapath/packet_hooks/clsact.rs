//! clsact filters, for kernels before tcx. A filter outlives the agent by itself; a file for each device in the run directory
//! says where filters are, and whether the qdisc below them is kpr's too.

use super::{Place, failed, programs};
use crate::{datapath::Error, devices};
use aya::programs::{
    SchedClassifier,
    tc::{NlOptions, SchedClassifierLink, TcAttachOptions, TcError, TcHandle, qdisc_add_clsact, qdisc_detach_program},
};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Before any other filter, as with tcx.
const PRIORITY: u16 = 1;
/// Any fixed handle: it finds the filter again after a restart.
const HANDLE: TcHandle = TcHandle::new(0, 0x6b70);
const OWN_QDISC: &str = "own qdisc";

/// Detaches programs from everywhere but these places.
pub(super) fn detach_others(places: &[Place], run_dir: &Path) -> Result<(), Error> {
    for (name, marker) in marked(run_dir)? {
        let kept: Vec<_> = places
            .iter()
            .filter(|place| place.device.name == name)
            .map(|place| place.program)
            .collect();
        // A device that is gone took its filters along.
        if nix::net::if_::if_nametoindex(name.as_str()).is_ok() {
            for (program, side) in programs().filter(|(program, _)| !kept.contains(program)) {
                match qdisc_detach_program(&name, side, program) {
                    Err(TcError::IoError(error)) if error.kind() == io::ErrorKind::NotFound => {}
                    result => result.map_err(|error| Error::Io {
                        what: format!("detach {program} from {name}"),
                        source: io::Error::other(error),
                    })?,
                }
            }
            if !kept.is_empty() {
                continue;
            }
            if fs::read_to_string(&marker).is_ok_and(|text| text == OWN_QDISC) {
                devices::remove_clsact(&name).map_err(|error| Error::Io {
                    what: format!("remove the clsact qdisc of {name}"),
                    source: io::Error::other(error),
                })?;
            }
        }
        fs::remove_file(&marker).map_err(|source| Error::Io {
            what: format!("remove {}", marker.display()),
            source,
        })?;
    }
    Ok(())
}

/// Attaches a program, or swaps it in.
pub(super) fn attach(program: &mut SchedClassifier, place: &Place, run_dir: &Path) -> Result<(), Error> {
    let Place {
        device,
        program: name,
        side,
    } = *place;
    let link_error = |source: io::Error| Error::Io {
        what: format!("attach {name} to {}", device.name),
        source,
    };
    let marker = marker(run_dir, &device.name);
    if marker.exists() {
        let existing = SchedClassifierLink::attached(&device.name, side, PRIORITY, HANDLE, None).map_err(link_error)?;
        // Fails where the filter is not there: then it is attached afresh below.
        if let Ok(id) = program.attach_to_link(existing) {
            leave(program.take_link(id).map_err(failed("attach", name))?);
            return Ok(());
        }
        // Somebody may have taken the qdisc away with all filters on it; if it is there, this fails and says nothing new.
        let _ = qdisc_add_clsact(&device.name);
    } else {
        let own = match qdisc_add_clsact(&device.name) {
            Ok(()) => OWN_QDISC,
            // There is one, of the CNI or the administrator.
            Err(_) => "",
        };
        fs::create_dir_all(run_dir)
            .and_then(|()| fs::write(&marker, own))
            .map_err(link_error)?;
    }
    let options = TcAttachOptions::Netlink(NlOptions {
        priority: PRIORITY,
        handle: HANDLE,
        classid: None,
    });
    let id = program
        .attach_with_options(&device.name, side, options)
        .map_err(failed("attach", name))?;
    leave(program.take_link(id).map_err(failed("attach", name))?);
    Ok(())
}

/// Lets go of a filter without detaching it, which dropping would do.
fn leave(link: SchedClassifierLink) {
    std::mem::forget(link);
}

fn marker(run_dir: &Path, device: &str) -> PathBuf {
    run_dir.join(format!("clsact-{device}"))
}

/// Devices that have markers.
fn marked(run_dir: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let entries = match fs::read_dir(run_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => {
            return Err(Error::Io {
                what: format!("read {}", run_dir.display()),
                source,
            });
        }
    };
    let name = |path: &Path| Some(path.file_name()?.to_str()?.strip_prefix("clsact-")?.to_owned());
    Ok(entries
        .filter_map(Result::ok)
        .filter_map(|entry| Some((name(&entry.path())?, entry.path())))
        .collect())
}
