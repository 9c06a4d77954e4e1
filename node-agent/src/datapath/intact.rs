//! Whether programs and maps are where this process put them, and putting back what is not: somebody may have removed a pin, severed
//! a link, or attached another program behind it.

use super::{
    Error,
    kernel::Datapath,
    links,
    pins::Pins,
    sys::{self, LinkInfo},
};
use aya::maps::MapInfo;
use kpr_abi::maps;
use std::{io, os::fd::AsFd, path::Path};

/// The kernel's ids of the pinned maps, by which they are found again when a pin is gone: the programs keep them alive.
#[derive(Debug, Default)]
pub(super) struct MapIds(Vec<(&'static str, u32)>);

impl MapIds {
    /// Those that are pinned now.
    pub(super) fn read(pins: &Pins) -> Self {
        let id = |name: &'static str| MapInfo::from_pin(pins.map(name)).ok().map(|info| (name, info.id()));
        Self(maps::ALL.into_iter().filter_map(id).collect())
    }

    /// Pins each again that is not where it was, and returns their names.
    pub(super) fn pin_again(&self, pins: &Pins) -> Result<Vec<&'static str>, Error> {
        let mut repaired = Vec::new();
        for &(name, id) in &self.0 {
            let pin = pins.map(name);
            if MapInfo::from_pin(&pin).is_ok_and(|info| info.id() == id) {
                continue;
            }
            let failed = |source| Error::Io {
                what: format!("pin the map {name} again"),
                source,
            };
            links::unpin(&pin)?;
            let map = sys::map_by_id(id).map_err(failed)?;
            sys::pin(map.as_fd(), &pin).map_err(failed)?;
            repaired.push(name);
        }
        Ok(repaired)
    }
}

/// Whether the link pinned at `pin` is attached to something and runs the program of this id.
pub(super) fn link_runs(pin: &Path, program: u32) -> bool {
    let info = || -> io::Result<LinkInfo> { sys::link_info(sys::open_pin(pin)?.as_fd()) };
    info().is_ok_and(|info| info.is_attached() && info.program() == program)
}

impl Datapath {
    /// Puts back what somebody else took away of programs and pins, and returns a sentence for each repair.
    ///
    /// Filters of kernels without tcx are attached again without being asked for: that changes nothing where they are.
    pub fn repair(&mut self) -> Result<Vec<String>, Error> {
        let lost = self.lost_attachments();
        let lost_acceleration = self.lost_acceleration();
        let mut repaired: Vec<String> = self
            .pin_maps_again()?
            .into_iter()
            .map(|map| format!("the pin of the map {map} was gone"))
            .collect();
        self.attach_again(&lost)?;
        self.accelerate_again(&lost_acceleration)?;
        let tell = |name: &String| format!("the program {name} was not attached");
        repaired.extend(lost.iter().chain(&lost_acceleration).map(tell));
        Ok(repaired)
    }
}
