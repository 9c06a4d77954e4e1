//! Loads the programs in every way that the agent may specialise them, without attaching any: what the agent chooses on one
//! kernel is verified on all.

use super::{Error, Options, PortRange, Settings, TcChoice, checks, features::Features, load, pins::Pins, verify};
use aya::{
    Ebpf,
    programs::{Program, ProgramError},
};
use std::{io, path::Path};

/// One specialisation of the programs that this kernel's verifier accepted.
#[derive(Clone, Debug)]
pub struct Variant {
    /// What it is specialised for, as one line.
    pub description: String,
    /// Every program of the object.
    pub programs: Vec<Verified>,
}

/// A program that the verifier accepted.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Its name.
    pub name: String,
    /// Instructions that the verifier walked, of at most a million (Linux 5.16).
    pub walked: Option<u32>,
}

/// What was found on this kernel and chosen because of it, as [`Report::features`](super::Report::features) has it.
pub fn features(tc: TcChoice) -> Vec<String> {
    Features::probe().describe(tc, true)
}

/// Loads every program for each combination of the features that this kernel has, with these settings. Maps are pinned under
/// `options.bpffs_root`, which must hold no datapath, and are gone when this returns.
pub fn load_variants(options: &Options, settings: &Settings) -> Result<Vec<Variant>, Error> {
    checks::preflight(options)?;
    let mut variants = Vec::new();
    for features in Features::probe().subsets() {
        let programs = load_once(&options.bpffs_root, settings, &features);
        Pins::remove_all(&options.bpffs_root).map_err(pins("remove", &options.bpffs_root))?;
        variants.push(Variant {
            description: format!("{features}, {}", describe(settings)),
            programs: programs?,
        });
    }
    Ok(variants)
}

fn describe(settings: &Settings) -> String {
    // Sizes are the maps', not the programs'.
    let Settings {
        node_ports,
        snat_ports,
        socket_lb,
        // Whether its programs are attached is no matter of their code.
        bind_protection: _,
        dsr,
        dsr_dispatch,
        least_connections,
        count_services,
        events,
        sizes: _,
    } = settings;
    let by_load = if *least_connections {
        ", connections counted"
    } else {
        ""
    };
    let counted = if *count_services { ", Services counted" } else { "" };
    let told = if events.is_some() { ", events" } else { "" };
    let ports = |range: &PortRange| format!("{}-{}", range.min, range.max);
    format!(
        "node ports {}, SNAT ports {}, socket LB {socket_lb:?}{by_load}{counted}{told}, DSR {dsr:?} by {dsr_dispatch:?}",
        ports(node_ports),
        ports(snat_ports)
    )
}

fn load_once(bpffs_root: &Path, settings: &Settings, features: &Features) -> Result<Vec<Verified>, Error> {
    let pins_of_variant = Pins::new(bpffs_root);
    pins_of_variant.create().map_err(pins("make", bpffs_root))?;
    let mut ebpf = load::load(&pins_of_variant, settings, features)?;
    load_programs(&mut ebpf)
}

fn load_programs(ebpf: &mut Ebpf) -> Result<Vec<Verified>, Error> {
    let mut verified = Vec::new();
    for (name, program) in ebpf.programs_mut() {
        let refused = |source: ProgramError| Error::Io {
            what: format!("load the eBPF program {name}"),
            source: io::Error::other(source),
        };
        verify::load(|| load_program(program)).map_err(refused)?;
        let info = program.info().map_err(refused)?;
        verified.push(Verified {
            name: name.to_owned(),
            walked: info.verified_instruction_count(),
        });
    }
    verified.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(verified)
}

/// A program of a kind that is not here fails: a new kind must not go untested.
pub(super) fn load_program(program: &mut Program) -> Result<(), ProgramError> {
    match program {
        Program::CgroupSock(program) => program.load(),
        Program::CgroupSockAddr(program) => program.load(),
        Program::SchedClassifier(program) => program.load(),
        Program::Xdp(program) => program.load(),
        _ => Err(ProgramError::UnexpectedProgramType),
    }
}

fn pins<'a>(what: &'a str, root: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |source| Error::Io {
        what: format!("{what} the pins under {}", root.display()),
        source,
    }
}
