//! The packet programs, on the node's external devices: by tcx links where the kernel has them, else by clsact filters.

mod clsact;
mod tcx;

use super::{Attachment, Error, Options, Side, TcChoice, features::Features, pins::Pins, verify};
use crate::devices::Device;
use aya::{
    Ebpf,
    programs::{ProgramError, SchedClassifier, TcAttachType},
};

/// The programs.
const INGRESS: &str = "kpr_ingress";
const POD_INGRESS: &str = "kpr_pod_ingress";
const EGRESS: &str = "kpr_egress";
const PROGRAMS: [(&str, TcAttachType); 3] = [
    (INGRESS, TcAttachType::Ingress),
    (POD_INGRESS, TcAttachType::Ingress),
    (EGRESS, TcAttachType::Egress),
];

/// A program, and the device and side of it that it belongs on.
struct Place<'a> {
    device: &'a Device,
    program: &'static str,
    side: TcAttachType,
}

/// Where all programs belong: external devices, and pod-facing ones.
fn places<'a>(external: &'a [Device], pod_facing: &'a [Device]) -> Vec<Place<'a>> {
    let both = |device, ingress| {
        [
            Place {
                device,
                program: ingress,
                side: TcAttachType::Ingress,
            },
            Place {
                device,
                program: EGRESS,
                side: TcAttachType::Egress,
            },
        ]
    };
    let external = external.iter().flat_map(|device| both(device, INGRESS));
    external
        .chain(pod_facing.iter().flat_map(|device| both(device, POD_INGRESS)))
        .collect()
}

/// Name of the program of a side.
pub(super) fn name(side: Side) -> &'static str {
    match side {
        Side::Ingress => INGRESS,
        Side::PodIngress => POD_INGRESS,
        Side::Egress => EGRESS,
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
    external: &[Device],
    pod_facing: &[Device],
    pins: &Pins,
    options: &Options,
    features: &Features,
) -> Result<Vec<Attachment>, Error> {
    let use_tcx = features.tcx && options.tc == TcChoice::Auto;
    let places = places(external, pod_facing);
    // Whatever the other way has attached would handle packets twice.
    let (by_tcx, by_clsact): (&[Place], &[Place]) = if use_tcx { (&places, &[]) } else { (&[], &places) };
    tcx::detach_others(by_tcx, pins)?;
    clsact::detach_others(by_clsact, &options.run_dir)?;
    let mut attachments = Vec::new();
    for place in &places {
        let program = program(ebpf, place.program)?;
        let hook = if use_tcx {
            tcx::attach(program, place, pins)?;
            "tcx"
        } else {
            clsact::attach(program, place, &options.run_dir)?;
            "clsact"
        };
        attachments.push(Attachment {
            program: place.program.to_owned(),
            hook,
            target: place.device.name.clone(),
        });
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
