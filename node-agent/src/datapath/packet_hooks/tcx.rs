//! tcx (Linux 6.6): a link for each program and device, pinned, so that it outlives the agent and can be swapped.

use super::{Place, failed, programs};
use crate::datapath::{Error, links, pins::Pins};
use aya::programs::{LinkOrder, SchedClassifier, links::FdLink, tc::TcAttachOptions};
use std::{io, os::fd::AsFd};

/// Detaches programs from everywhere but these places.
pub(super) fn detach_others(places: &[Place], pins: &Pins) -> Result<(), Error> {
    let pinned = pins.devices().map_err(|source| Error::Io {
        what: "list the pinned device links".into(),
        source,
    })?;
    for ifindex in pinned {
        for (program, _) in programs() {
            if !places
                .iter()
                .any(|place| place.device.ifindex == ifindex && place.program == program)
            {
                links::unpin(&pins.device_link(ifindex, program))?;
            }
        }
    }
    Ok(())
}

/// Attaches a program, or swaps it in.
pub(super) fn attach(program: &mut SchedClassifier, place: &Place, pins: &Pins) -> Result<(), Error> {
    let Place {
        device,
        program: name,
        side,
    } = *place;
    let pin = pins.device_link(device.ifindex, name);
    let fd = program.fd().map_err(failed("load", name))?.as_fd().try_clone_to_owned();
    let fd = fd.map_err(|source| Error::Io {
        what: format!("keep the program {name}"),
        source,
    })?;
    if links::swap(&pin, fd.as_fd())? == links::Outcome::Swapped {
        return Ok(());
    }
    // First: the CNI's own programs on this hook then see packets with the addresses that they have on the node.
    let order = || TcAttachOptions::TcxOrder(LinkOrder::first());
    let id =
        links::attach(|| program.attach_with_options(&device.name, side, order())).map_err(failed("attach", name))?;
    let link = program.take_link(id).map_err(failed("attach", name))?;
    let link: FdLink = link.try_into().map_err(|error| Error::Io {
        what: format!("pin {name}"),
        source: io::Error::other(error),
    })?;
    links::pin(link, &pin)
}
