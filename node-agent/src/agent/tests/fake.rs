//! A kernel that is a few tables in memory. It outlives the agents that write to it, as pinned maps do.

use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard},
};

use kpr_abi::{Addr4, BackendValue, ServiceKey, ServiceValue, V4};

use crate::{
    agent::{Datapath, Loader, Placement, Tables},
    datapath::{Contents, Error, Report, Settings, Sweep},
    plan::{Limits, Op},
};

/// The node's kernel. Clones are the same kernel.
#[derive(Clone, Default)]
pub(crate) struct Kernel(Arc<Mutex<State>>);

#[derive(Default)]
pub(crate) struct State {
    services: BTreeMap<ServiceKey<Addr4>, ServiceValue>,
    slots: Vec<u32>,
    backends: BTreeMap<u32, BackendValue<Addr4>>,
    /// Operations that were carried out since the last look.
    pub(crate) ops: Vec<Op<V4>>,
    /// Settings of every start.
    pub(crate) starts: Vec<Settings>,
    /// How often the tables were read.
    pub(crate) reads: usize,
    /// How often idle flows were swept.
    pub(crate) sweeps: usize,
    /// Every placement.
    pub(crate) placements: Vec<Placement>,
    /// How often everything was removed.
    pub(crate) removals: usize,
    /// How many of the next operations fail.
    pub(crate) failing_ops: usize,
    /// How many of the next starts fail.
    pub(crate) failing_starts: usize,
    /// Whether removing fails.
    pub(crate) failing_removal: bool,
}

const LIMITS: Limits = Limits {
    services: 16,
    slots: 64,
    backends: 16,
};

impl Kernel {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Operations since the last call.
    pub(crate) fn take_ops(&self) -> Vec<Op<V4>> {
        std::mem::take(&mut self.state().ops)
    }

    /// Frontends and their backends, as `10.96.0.10:80 -> 10.244.0.2:8080`.
    pub(crate) fn shows(&self) -> Vec<String> {
        let state = self.state();
        let show = |(key, value): (&ServiceKey<Addr4>, &ServiceValue)| {
            let slots = value.cluster.base as usize..(value.cluster.base + value.cluster.len) as usize;
            let backends: Vec<_> = state.slots[slots]
                .iter()
                .map(|id| address(state.backends[id]))
                .collect();
            let addr: Ipv4Addr = key.addr.into();
            format!("{addr}:{} -> {}", key.port.host(), backends.join(" "))
        };
        state.services.iter().map(show).collect()
    }
}

fn address(backend: BackendValue<Addr4>) -> String {
    let addr: Ipv4Addr = backend.addr.into();
    format!("{addr}:{}", backend.port.host())
}

fn refused() -> Error {
    Error::Io {
        what: "do what the test forbids".into(),
        source: io::Error::from_raw_os_error(libc::EPERM),
    }
}

impl Loader for Kernel {
    type Datapath = Self;

    fn start(&mut self, settings: &Settings) -> Result<Self, Error> {
        let mut state = self.state();
        if state.failing_starts > 0 {
            state.failing_starts -= 1;
            return Err(Error::NoBtf);
        }
        state.starts.push(settings.clone());
        state.slots.resize(LIMITS.slots as usize, 0);
        drop(state);
        Ok(self.clone())
    }

    fn remove(&mut self) -> Result<(), Error> {
        let mut state = self.state();
        if state.failing_removal {
            return Err(refused());
        }
        state.removals += 1;
        state.services.clear();
        state.slots.clear();
        state.backends.clear();
        Ok(())
    }
}

impl Tables<V4> for Kernel {
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn contents(&mut self) -> Result<Contents<V4>, Error> {
        let mut state = self.state();
        state.reads += 1;
        Ok(Contents {
            services: state.services.iter().map(|(key, value)| (*key, *value)).collect(),
            slots: state.slots.clone(),
            backends: state.backends.clone(),
        })
    }

    fn apply(&mut self, op: &Op<V4>) -> Result<(), Error> {
        let mut state = self.state();
        if state.failing_ops > 0 {
            state.failing_ops -= 1;
            return Err(refused());
        }
        state.ops.push(op.clone());
        match op {
            Op::PutBackend { id, value } => drop(state.backends.insert(*id, *value)),
            Op::ClearBackend { id } => drop(state.backends.remove(id)),
            Op::PutSlots { base, ids } => {
                let slots = *base as usize..*base as usize + ids.len();
                state.slots[slots].copy_from_slice(ids);
            }
            Op::PutService { key, value } => drop(state.services.insert(*key, *value)),
            Op::DeleteService { key } => drop(state.services.remove(key)),
        }
        Ok(())
    }
}

impl Datapath for Kernel {
    fn place(&mut self, placement: &Placement) -> Result<(), Error> {
        self.state().placements.push(placement.clone());
        Ok(())
    }

    fn sweep(&mut self) -> Sweep {
        self.state().sweeps += 1;
        Sweep::default()
    }

    fn report(&self) -> Report {
        Report {
            map_writes: self.state().ops.len() as u64,
            ..Report::default()
        }
    }
}
