//! One link for each device, pinned by device and mode.

use super::occupant;
use crate::{
    datapath::{Error, XdpMode, links, pins::Pins, sys},
    devices::Device,
};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

const MODES: [XdpMode; 2] = [XdpMode::Native, XdpMode::Generic];

/// Detaches the program from everywhere but these places.
pub(super) fn detach_others(places: &[(&Device, &[XdpMode])], pins: &Pins) -> Result<(), Error> {
    let pinned = pins.xdp_devices().map_err(|source| Error::Io {
        what: "list the pinned XDP links".into(),
        source,
    })?;
    for ifindex in pinned {
        for mode in MODES {
            let is_place = |(device, modes): &(&Device, &[XdpMode])| device.ifindex == ifindex && modes.contains(&mode);
            if !places.iter().any(is_place) {
                links::unpin(&pins.xdp_link(ifindex, mode.name()))?;
            }
        }
    }
    Ok(())
}

/// Attaches the program in the first of these modes that the device has, or swaps it in where an earlier run attached it; or says why not.
pub(super) fn attach(
    program: BorrowedFd<'_>,
    device: &Device,
    modes: &[XdpMode],
    pins: &Pins,
) -> Result<XdpMode, String> {
    for &mode in modes {
        match links::swap(&pins.xdp_link(device.ifindex, mode.name()), program) {
            Ok(links::Outcome::Swapped) => return Ok(mode),
            Ok(links::Outcome::Absent) => {}
            Err(failed) => return Err(chain(&failed)),
        }
    }
    let mut why = Vec::new();
    for &mode in modes {
        let pin = pins.xdp_link(device.ifindex, mode.name());
        let attached = create(program, device, mode).and_then(|link| sys::pin(link.as_fd(), &pin));
        match attached {
            Ok(()) => return Ok(mode),
            Err(error) => why.push(in_words(&error, device, mode)),
        }
    }
    why.dedup();
    Err(why.join("; "))
}

/// Attaches the program, again while it is a link of kpr's own that the kernel is letting go of.
fn create(program: BorrowedFd<'_>, device: &Device, mode: XdpMode) -> io::Result<OwnedFd> {
    let is_leaving = |error: &io::Error| is_occupied(error) && occupant::is_own(device.ifindex);
    links::attach_while(is_leaving, || {
        sys::create_xdp_link(program, device.ifindex, flags(mode))
    })
}

/// `EBUSY`: there is a program in this mode; `EEXIST`: in the other one (`dev_xdp_attach` in net/core/dev.c).
fn is_occupied(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EBUSY | libc::EEXIST))
}

fn in_words(error: &io::Error, device: &Device, mode: XdpMode) -> String {
    if is_occupied(error) {
        let program = occupant::describe(device.ifindex);
        return format!(
            "{program} is attached there, which kpr leaves alone: detach it, or set loadBalancer.acceleration to Disabled"
        );
    }
    match (mode, error.raw_os_error()) {
        (XdpMode::Native, Some(libc::EOPNOTSUPP)) => "its driver has no XDP".to_owned(),
        (XdpMode::Native, _) => {
            format!("its driver refused the program (some do with a large MTU, few queues or LRO): {error}")
        }
        (XdpMode::Generic, _) => format!("the kernel refused the program: {error}"),
    }
}

/// `XDP_FLAGS_*` (include/uapi/linux/if_link.h).
fn flags(mode: XdpMode) -> u32 {
    match mode {
        XdpMode::Generic => 1 << 1,
        XdpMode::Native => 1 << 2,
    }
}

fn chain(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
