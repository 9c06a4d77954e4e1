//! What the agent has written, as programs see it.

use std::{
    fs,
    net::SocketAddrV4,
    os::fd::{AsFd as _, AsRawFd as _},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{Array, HashMap, Map, MapData, MapError};
use kpr_abi::{Addr4, BackendValue, ServiceKey, ServiceValue, StoredService, maps};
use kpr_node_agent::datapath::Pins;
use nix::libc;

use super::objects::Numbered;

/// The tables of a node.
pub(super) struct Tables {
    services: HashMap<MapData, ServiceKey<Addr4>, StoredService>,
    slots: Array<MapData, u32>,
    backends: Array<MapData, BackendValue<Addr4>>,
}

impl Tables {
    pub(super) fn open(bpffs: &Path) -> Result<Self> {
        let pins = Pins::new(bpffs);
        let open = |name| {
            let data = MapData::from_pin(pins.map(name)).with_context(|| format!("open {name}"))?;
            Map::from_map_data(data).with_context(|| format!("open {name}"))
        };
        Ok(Self {
            services: open(maps::SERVICES4)?.try_into()?,
            slots: open(maps::SLOTS4)?.try_into()?,
            backends: open(maps::BACKENDS4)?.try_into()?,
        })
    }

    /// A Service's value, if it is there.
    pub(super) fn service(&self, service: Numbered) -> Result<Option<ServiceValue>> {
        let key = service.key();
        match self.services.get(&key, 0) {
            Ok(stored) => Ok(stored.value(&key).copied()),
            Err(MapError::KeyNotFound) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a Service leads to so many backends, and to this one among them.
    pub(super) fn leads_to(&self, service: Numbered, backends: u32, one: SocketAddrV4) -> Result<()> {
        let value = self.service(service)?.context("a Service is not there")?;
        ensure!(value.cluster.len == backends, "{service:?} leads to {value:?}");
        for slot in value.cluster.base..value.cluster.base + backends {
            let backend = self.backends.get(&self.slots.get(&slot, 0)?, 0)?;
            if backend.addr == Addr4::from(*one.ip()) && backend.port.host() == one.port() {
                return Ok(());
            }
        }
        anyhow::bail!("{service:?} does not lead to {one}")
    }
}

/// Memory of all maps of a node, as the kernel counts it, in MiB.
pub(super) fn memory(bpffs: &Path) -> Result<f64> {
    let pins = Pins::new(bpffs);
    let mut bytes = 0.0;
    for name in maps::ALL {
        let map = MapData::from_pin(pins.map(name)).with_context(|| format!("open {name}"))?;
        let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", map.fd().as_fd().as_raw_fd()))?;
        let line = info.lines().find_map(|line| line.strip_prefix("memlock:"));
        bytes += line
            .context("the kernel does not tell a map's memory")?
            .trim()
            .parse::<f64>()?;
    }
    Ok(bytes / f64::from(1 << 20))
}

/// Makes this thread sleep as short as it asks for.
pub(super) fn sleep_precisely() -> Result<()> {
    // SAFETY: it takes a number and changes nothing but this thread's timers.
    let result = unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1) };
    ensure!(result == 0, "the timers of this thread cannot be made precise");
    Ok(())
}
