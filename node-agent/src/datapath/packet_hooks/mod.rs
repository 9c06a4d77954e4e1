//! The packet programs, on the node's external devices: by tcx links where the kernel has them, else by clsact filters.

mod clsact;
mod tcx;

use super::{Attachment, Error, Options, Side, TcChoice, features::Features, pins::Pins, verify};
use crate::devices::Device;
use aya::{
    Ebpf,
    programs::{ProgramError, SchedClassifier, TcAttachType},
};

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
        let program = program(ebpf, name)?;
        verify::load(|| program.load()).map_err(failed("load", name))?;
    }
    Ok(())
}

/// Attaches the programs to exactly these devices: swaps them in where an earlier run attached them, and detaches them from
/// any other device.
pub(super) fn attach(
    ebpf: &mut Ebpf,
    devices: &[Device],
    pins: &Pins,
    options: &Options,
    features: &Features,
) -> Result<Vec<Attachment>, Error> {
    let use_tcx = features.tcx && options.tc == TcChoice::Auto;
    // Whatever the other way has attached would handle packets twice.
    let (tcx_devices, clsact_devices): (&[Device], &[Device]) = if use_tcx { (devices, &[]) } else { (&[], devices) };
    tcx::detach_others(tcx_devices, pins)?;
    clsact::detach_others(clsact_devices, &options.run_dir)?;
    let mut attachments = Vec::new();
    for device in devices {
        for (name, side) in PROGRAMS {
            let program = program(ebpf, name)?;
            let hook = if use_tcx {
                tcx::attach(program, device, name, side, pins)?;
                "tcx"
            } else {
                clsact::attach(program, device, name, side, &options.run_dir)?;
                "clsact"
            };
            attachments.push(Attachment {
                program: name.to_owned(),
                hook,
                target: device.name.clone(),
            });
        }
    }
    Ok(attachments)
}

/// Detaches what no pin holds: clsact filters.
pub(super) fn remove(options: &Options) -> Result<(), Error> {
    clsact::detach_others(&[], &options.run_dir)
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut SchedClassifier, Error> {
    ebpf.program_mut(name)
        .ok_or(Error::Missing(name))?
        .try_into()
        .map_err(failed("find", name))
}

fn failed(what: &'static str, program: &'static str) -> impl Fn(ProgramError) -> Error {
    move |source| Error::Program { what, program, source }
}
