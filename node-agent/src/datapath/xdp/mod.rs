//! The XDP program, on the node's external devices with Ethernet headers. Where a device can't have it, the tc programs do all the work: so
//! nothing here fails for want of a driver.

mod attach;
mod occupant;

use super::{
    Accelerated, Acceleration, Attachment, Error, XdpMode, link_header,
    pins::Pins,
    tables::{convert, ignore_absent, map_error, reconcile, take},
    verify,
};
use crate::devices::{self, Device};
use aya::{
    Ebpf,
    maps::{
        HashMap, MapData,
        xdp::{DevMapHash, XdpMapError},
    },
    programs::Xdp,
};
use kpr_abi::{maps, xdp::HardwareAddress};
use std::{
    collections::BTreeMap,
    os::fd::{AsFd, BorrowedFd},
    path::PathBuf,
};

/// Name of the program.
pub(super) const PROGRAM: &str = "kpr_xdp";

/// What the program knows of devices, and those that have it or were to have it.
pub(super) struct Accelerator {
    ways_out: DevMapHash<MapData>,
    addresses: HashMap<MapData, u32, HardwareAddress>,
    placed: Vec<Placed>,
}

/// A device that was to have the program, and how it has it, or why not.
struct Placed {
    device: Device,
    mode: Result<XdpMode, String>,
}

impl Placed {
    fn has(&self, wanted: XdpMode) -> bool {
        self.mode.as_ref().is_ok_and(|&mode| mode == wanted)
    }
}

impl Accelerator {
    /// Takes the program's maps.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, Error> {
        Ok(Self {
            ways_out: convert(maps::XDP_DEVICES, take(ebpf, maps::XDP_DEVICES)?)?,
            addresses: convert(maps::XDP_ADDRESSES, take(ebpf, maps::XDP_ADDRESSES)?)?,
            placed: Vec::new(),
        })
    }

    /// Attaches the program to exactly those of these devices that can have it: swaps it in where an earlier run attached it, and detaches
    /// it from any other device.
    pub(super) fn attach(
        &mut self,
        ebpf: &mut Ebpf,
        external: &[Device],
        wanted: Acceleration,
        pins: &Pins,
    ) -> Result<(), Error> {
        let places: Vec<_> = external
            .iter()
            .filter(|device| may_have_it(device))
            .map(|device| (device, modes(device, wanted)))
            .filter(|(_, modes)| !modes.is_empty())
            .collect();
        attach::detach_others(&places, pins)?;
        self.placed.clear();
        if places.is_empty() {
            return self.tell();
        }
        let program = ebpf.program_mut(PROGRAM).ok_or(Error::Missing(PROGRAM))?;
        let program: &mut Xdp = program.try_into().map_err(|source| Error::Program {
            what: "find",
            program: PROGRAM,
            source,
        })?;
        let loaded = loaded(program);
        for (device, modes) in places {
            let mode = match &loaded {
                Ok(program) => attach::attach(*program, device, modes, pins),
                Err(why) => Err(why.clone()),
            };
            let device = device.clone();
            self.placed.push(Placed { device, mode });
        }
        self.tell()
    }

    /// Tells the program its devices, as they are now. Until then it sends packets out by the device that they came in by, and leaves others
    /// to tc.
    pub(super) fn tell(&mut self) -> Result<(), Error> {
        let failed = map_error(maps::XDP_DEVICES);
        let wanted = self.ways_out();
        let there: Vec<u32> = self.ways_out.keys().collect::<Result<_, _>>().map_err(&failed)?;
        for gone in there.iter().filter(|ifindex| !wanted.contains(ifindex)) {
            ignore_absent(self.ways_out.remove(*gone)).map_err(&failed)?;
        }
        for &ifindex in wanted.iter().filter(|ifindex| !there.contains(ifindex)) {
            let_out(&mut self.ways_out, ifindex)?;
        }
        let address = |placed: &Placed| {
            let address = link_header::ethernet_address(&placed.device)?;
            placed.mode.is_ok().then_some((placed.device.ifindex, address.into()))
        };
        let addresses: BTreeMap<u32, HardwareAddress> = self.placed.iter().filter_map(address).collect();
        reconcile(maps::XDP_ADDRESSES, &mut self.addresses, &addresses).map(drop)
    }

    /// The devices that a packet may leave by which came in by another one. A driver sends what another driver received only if it has a
    /// program itself; so if some have it in the driver and others behind, only the former are such.
    fn ways_out(&self) -> Vec<u32> {
        let of = |mode| {
            let placed = self.placed.iter().filter(move |placed| placed.has(mode));
            placed.map(|placed| placed.device.ifindex).collect::<Vec<_>>()
        };
        let native = of(XdpMode::Native);
        if native.is_empty() {
            of(XdpMode::Generic)
        } else {
            native
        }
    }

    /// Whether a device that was to have the program has it not.
    pub(super) fn lacks_any(&self) -> bool {
        self.placed.iter().any(|placed| placed.mode.is_err())
    }

    /// Where the program is attached.
    pub(super) fn attachments(&self) -> impl Iterator<Item = Attachment> {
        self.placed.iter().filter_map(|placed| {
            Some(Attachment {
                program: PROGRAM.to_owned(),
                hook: hook(*placed.mode.as_ref().ok()?),
                target: placed.device.name.clone(),
            })
        })
    }

    /// The pin of each attachment, in the same order.
    pub(super) fn links(&self, pins: &Pins) -> impl Iterator<Item = PathBuf> {
        let link = |placed: &Placed| {
            let mode = placed.mode.as_ref().ok()?;
            Some(pins.xdp_link(placed.device.ifindex, mode.name()))
        };
        self.placed.iter().filter_map(link)
    }

    /// How each device has the program that was to have it.
    pub(super) fn report(&self) -> Vec<Accelerated> {
        let tell = |placed: &Placed| Accelerated {
            device: placed.device.name.clone(),
            mode: placed.mode.clone(),
        };
        self.placed.iter().map(tell).collect()
    }
}

/// Lets packets leave by a device.
pub(super) fn let_out(ways_out: &mut DevMapHash<MapData>, ifindex: u32) -> Result<(), Error> {
    match ways_out.insert(ifindex, ifindex, None, 0) {
        Err(XdpMapError::MapError(error)) => Err(map_error(maps::XDP_DEVICES)(error)),
        // No program is chained.
        Ok(()) | Err(XdpMapError::ChainedProgramNotSupported) => Ok(()),
    }
}

/// Whether the program could do anything on the device: it writes Ethernet headers, and what leaves by a tunnel needs another one around it.
fn may_have_it(device: &Device) -> bool {
    link_header::has_ethernet(device) && !devices::is_tunnel(device)
}

/// How a device may have the program, the best first.
fn modes(device: &Device, wanted: Acceleration) -> &'static [XdpMode] {
    match wanted {
        Acceleration::Disabled => &[],
        Acceleration::Native => &[XdpMode::Native],
        // In its driver, what the program sends is lost without a word unless the other end has GRO or an XDP program, too.
        Acceleration::BestEffort if device.kind == "veth" => &[XdpMode::Generic],
        Acceleration::BestEffort => &[XdpMode::Native, XdpMode::Generic],
    }
}

/// The program, loaded where it is attached first: or why it can't be.
fn loaded(program: &mut Xdp) -> Result<BorrowedFd<'_>, String> {
    let failed = |error| format!("the kernel refused to load the program {PROGRAM}: {error}");
    if program.fd().is_err() {
        verify::load(|| program.load()).map_err(failed)?;
    }
    program.fd().map(AsFd::as_fd).map_err(failed)
}

fn hook(mode: XdpMode) -> &'static str {
    match mode {
        XdpMode::Native => "xdp/native",
        XdpMode::Generic => "xdp/generic",
    }
}
