//! The packet programs, on the node's external devices.

use super::{Attachment, Error, Side, links, pins::Pins};
use crate::devices::Device;
use aya::{
    Ebpf,
    programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType, links::FdLink, tc::TcAttachOptions},
};
use std::os::fd::AsFd;

/// Program and the side of the device that it sits on.
const PROGRAMS: [(&str, TcAttachType); 2] = [
    ("kpr_ingress", TcAttachType::Ingress),
    ("kpr_egress", TcAttachType::Egress),
];

/// Name of the program of a side.
pub(super) fn name(side: Side) -> &'static str {
    match side {
        Side::Ingress => PROGRAMS[0].0,
        Side::Egress => PROGRAMS[1].0,
    }
}

/// Loads the packet programs.
pub(super) fn load(ebpf: &mut Ebpf) -> Result<(), Error> {
    for (name, _) in PROGRAMS {
        program(ebpf, name)?.load().map_err(|source| Error::Program {
            what: "load",
            program: name,
            source,
        })?;
    }
    Ok(())
}

/// Attaches the programs to exactly these devices: swaps them in where an earlier run attached them, and detaches them from
/// any other device.
pub(super) fn attach(ebpf: &mut Ebpf, devices: &[Device], pins: &Pins) -> Result<Vec<Attachment>, Error> {
    let pinned = pins.devices().map_err(|source| Error::Io {
        what: "list the pinned device links".into(),
        source,
    })?;
    for ifindex in pinned {
        if devices.iter().all(|device| device.ifindex != ifindex) {
            for (name, _) in PROGRAMS {
                links::unpin(&pins.device_link(ifindex, name))?;
            }
        }
    }
    let mut attachments = Vec::new();
    for device in devices {
        for (name, side) in PROGRAMS {
            attach_one(ebpf, device, name, side, pins)?;
            attachments.push(Attachment {
                program: name.to_owned(),
                hook: "tcx",
                target: device.name.clone(),
            });
        }
    }
    Ok(attachments)
}

fn attach_one(
    ebpf: &mut Ebpf,
    device: &Device,
    name: &'static str,
    side: TcAttachType,
    pins: &Pins,
) -> Result<(), Error> {
    let failed = |what: &'static str| {
        move |source: ProgramError| Error::Program {
            what,
            program: name,
            source,
        }
    };
    let program = program(ebpf, name)?;
    let pin = pins.device_link(device.ifindex, name);
    let fd = program.fd().map_err(failed("load"))?.as_fd().try_clone_to_owned();
    let fd = fd.map_err(|source| Error::Io {
        what: format!("keep the program {name}"),
        source,
    })?;
    if links::swap(&pin, fd.as_fd())? == links::Outcome::Swapped {
        return Ok(());
    }
    // First: the CNI's own programs on this hook then see packets with the addresses that they have on the node.
    let order = TcAttachOptions::TcxOrder(LinkOrder::first());
    let id = program
        .attach_with_options(&device.name, side, order)
        .map_err(failed("attach"))?;
    let link = program.take_link(id).map_err(failed("attach"))?;
    let link: FdLink = link.try_into().map_err(|error| Error::Io {
        what: format!("pin {name}"),
        source: std::io::Error::other(error),
    })?;
    links::pin(link, &pin)
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, Error> {
    ebpf.program_mut(name)
        .ok_or(Error::Missing(name))?
        .try_into()
        .map_err(|source| Error::Program {
            what: "find",
            program: name,
            source,
        })
}
