//! The packet programs, on the node's external devices: by tcx links where the kernel has them, else by clsact filters.

mod clsact;
mod tcx;

use super::{Attachment, Error, Options, Side, TcChoice, features::Features, link_header, noted, pins::Pins, verify};
use crate::devices::Device;
use aya::{
    Ebpf,
    programs::{ProgramError, SchedClassifier, TcAttachType},
};

/// The programs: for devices with Ethernet headers, and for devices without a link header.
const INGRESS: [&str; 2] = ["kpr_ingress", "kpr_ingress_l3"];
const POD_INGRESS: [&str; 2] = ["kpr_pod_ingress", "kpr_pod_ingress_l3"];
const EGRESS: [&str; 2] = ["kpr_egress", "kpr_egress_l3"];

/// Every program, and the side of a device that it belongs on.
fn programs() -> impl Iterator<Item = (&'static str, TcAttachType)> {
    let sides = [
        (INGRESS, TcAttachType::Ingress),
        (POD_INGRESS, TcAttachType::Ingress),
        (EGRESS, TcAttachType::Egress),
    ];
    sides
        .into_iter()
        .flat_map(|(names, side)| names.map(|name| (name, side)))
}

/// A program, and the device and side of it that it belongs on.
struct Place<'a> {
    device: &'a Device,
    program: &'static str,
    side: TcAttachType,
}

/// Where all programs belong: external devices, and pod-facing ones.
fn places<'a>(external: &'a [Device], pod_facing: &'a [Device]) -> Vec<Place<'a>> {
    let both = |device, ingress: [&'static str; 2]| {
        let l3 = usize::from(!link_header::has_ethernet(device));
        [
            Place {
                device,
                program: ingress[l3],
                side: TcAttachType::Ingress,
            },
            Place {
                device,
                program: EGRESS[l3],
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
        Side::Ingress => INGRESS[0],
        Side::PodIngress => POD_INGRESS[0],
        Side::Egress => EGRESS[0],
    }
}

/// Loads the programs that every node needs; the others are loaded where they are attached first, because verifying takes time.
pub(super) fn load(ebpf: &mut Ebpf) -> Result<(), Error> {
    ensure_loaded(program(ebpf, INGRESS[0])?, INGRESS[0])?;
    ensure_loaded(program(ebpf, EGRESS[0])?, EGRESS[0])
}

fn ensure_loaded(program: &mut SchedClassifier, name: &'static str) -> Result<(), Error> {
    if program.fd().is_ok() {
        return Ok(());
    }
    verify::load(|| program.load()).map_err(failed("load", name))
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
    if !pod_facing.is_empty() {
        noted::PODS.note(&options.run_dir)?;
    }
    // Whatever the other way has attached would handle packets twice.
    let (by_tcx, by_clsact): (&[Place], &[Place]) = if use_tcx { (&places, &[]) } else { (&[], &places) };
    tcx::detach_others(by_tcx, pins)?;
    clsact::detach_others(by_clsact, &options.run_dir)?;
    let mut attachments = Vec::new();
    for place in &places {
        let program = program(ebpf, place.program)?;
        ensure_loaded(program, place.program)?;
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
    if pod_facing.is_empty() {
        noted::PODS.forget(&options.run_dir)?;
    }
    Ok(attachments)
}

/// Detaches what no pin holds: clsact filters.
pub(super) fn remove(options: &Options) -> Result<(), Error> {
    clsact::detach_others(&[], &options.run_dir)?;
    noted::PODS.forget(&options.run_dir)
}

/// Whether programs are on pod-facing devices, attached by this process or the one before it.
pub(super) fn are_on_pods(options: &Options) -> bool {
    noted::PODS.may_be(&options.run_dir)
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
