//! A kernel that is a few tables in memory. It outlives the agents that write to it, as pinned maps do.

use std::{
    collections::BTreeMap,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use kpr_abi::{Be16, Family, Reason, ServiceKey, ServiceValue, V4, V6};

use crate::{
    agent::{Datapath, Loader, Placement, Tables},
    datapath::{Contents, Counter, Error, Events, HandOver, Report, Settings},
    model::Protocol,
    plan::{Limits, Op},
    takeover::Cleared,
};

/// The node's kernel. Clones are the same kernel.
#[derive(Clone, Default)]
pub(crate) struct Kernel(Arc<Mutex<State>>);

#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fault or a finding of its own, which a test switches on"
)]
pub(crate) struct State {
    v4: FamilyState<V4>,
    v6: FamilyState<V6>,
    /// Operations that were carried out since the last start.
    writes: u64,
    /// Settings of every start.
    pub(crate) starts: Vec<Settings>,
    /// How often the tables of a family were read.
    pub(crate) reads: usize,
    /// Whether sweeps find flows that pods began on their devices.
    pub(crate) pods_have_flows: bool,
    /// Whether sweeps find flows with DSR.
    pub(crate) dsr_has_flows: bool,
    /// Whether programs were on pod-facing devices when the first source range was written.
    pub(crate) placed_before_write: Option<bool>,
    /// Flows that were refused for want of a source port, since the tables were made.
    pub(crate) refused: u64,
    /// Every placement.
    pub(crate) placements: Vec<Placement>,
    /// What somebody else took away of programs and pins, and a repair puts back.
    pub(crate) taken_away: Vec<String>,
    /// How often somebody looked for that.
    pub(crate) looks: usize,
    /// How often flows of netfilter were looked for, and with how many frontends programmed.
    pub(crate) left: Vec<usize>,
    /// How often leftovers of kube-proxy were looked for, and with how many frontends programmed.
    pub(crate) cleared: Vec<usize>,
    /// What becomes of such leftovers.
    pub(crate) leftovers: Cleared,
    /// How often flows were handed over.
    pub(crate) hand_overs: usize,
    /// How often everything was removed.
    pub(crate) removals: usize,
    /// How many of the next operations fail.
    pub(crate) failing_ops: usize,
    /// The families of which every operation fails.
    pub(crate) failing_families: Vec<&'static str>,
    /// How many of the next starts fail.
    pub(crate) failing_starts: usize,
    /// The frontends that are counted.
    pub(crate) counted: Vec<SocketAddr>,
    /// How many of the next attempts to have some counted fail.
    pub(crate) failing_counts: usize,
    /// Whether flows with DSR may be there from before.
    pub(crate) may_have_dsr: bool,
    /// Whether removing fails.
    pub(crate) failing_removal: bool,
}

const LIMITS: Limits = Limits {
    services: 16,
    slots: 64,
    backends: 16,
    source_ranges: 16,
};

/// The tables of one family.
struct FamilyState<F: Family> {
    contents: Contents<F>,
    /// Operations that were carried out since the last look.
    ops: Vec<Op<F>>,
}

impl<F: Family> Default for FamilyState<F> {
    fn default() -> Self {
        Self {
            contents: Contents {
                services: Vec::new(),
                slots: vec![0; LIMITS.slots as usize],
                backends: BTreeMap::new(),
                source_ranges: Vec::new(),
            },
            ops: Vec::new(),
        }
    }
}

impl Kernel {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// IPv4 operations since the last call.
    pub(crate) fn take_ops(&self) -> Vec<Op<V4>> {
        std::mem::take(&mut self.state().v4.ops)
    }

    /// IPv6 operations since the last call.
    pub(crate) fn take_ops6(&self) -> Vec<Op<V6>> {
        std::mem::take(&mut self.state().v6.ops)
    }

    /// Somebody else deletes all IPv4 frontends.
    pub(crate) fn lose_frontends(&self) {
        self.state().v4.contents.services.clear();
    }

    /// Somebody else makes every IPv4 backend another one.
    pub(crate) fn change_backends(&self) {
        for backend in self.state().v4.contents.backends.values_mut() {
            backend.port = Be16::new(1);
        }
    }

    /// Frontends and their backends, as `10.96.0.10:80 -> 10.244.0.2:8080`; IPv4 first.
    pub(crate) fn shows(&self) -> Vec<String> {
        let state = self.state();
        [state.v4.shows(), state.v6.shows()].concat()
    }
}

impl<F: Family> FamilyState<F> {
    fn shows(&self) -> Vec<String> {
        let Contents {
            services,
            slots,
            backends,
            source_ranges: _,
        } = &self.contents;
        let show = |(key, value): &(ServiceKey<F::Addr>, ServiceValue)| {
            let range = value.cluster.base as usize..(value.cluster.base + value.cluster.len) as usize;
            let backends: Vec<_> = slots[range]
                .iter()
                .map(|id| &backends[id])
                .map(|backend| address::<F>(backend.addr, backend.port).to_string())
                .collect();
            format!("{} -> {}", address::<F>(key.addr, key.port), backends.join(" "))
        };
        services.iter().map(show).collect()
    }

    fn apply(&mut self, op: &Op<F>) {
        self.ops.push(op.clone());
        let Contents {
            services,
            slots,
            backends,
            source_ranges,
        } = &mut self.contents;
        match op {
            Op::PutBackend { id, value } => drop(backends.insert(*id, *value)),
            Op::ClearBackend { id } => drop(backends.remove(id)),
            Op::PutRange { range } => source_ranges.push(*range),
            Op::DeleteRange { range } => source_ranges.retain(|other| other != range),
            Op::PutSlots { base, run } => {
                let ids = run.slots();
                slots[*base as usize..*base as usize + ids.len()].copy_from_slice(&ids);
            }
            Op::PutService { key, value } => match services.binary_search_by_key(key, |(key, _)| *key) {
                Ok(at) => services[at].1 = *value,
                Err(at) => services.insert(at, (*key, *value)),
            },
            Op::DeleteService { key } => services.retain(|(other, _)| other != key),
        }
    }
}

fn address<F: Family>(addr: F::Addr, port: Be16) -> SocketAddr {
    let ip: F::Ip = addr.into();
    SocketAddr::new(ip.into(), port.host())
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
        state.writes = 0;
        drop(state);
        Ok(self.clone())
    }

    fn may_have_dsr(&self) -> bool {
        self.state().may_have_dsr
    }

    fn remove(&mut self) -> Result<(), Error> {
        let mut state = self.state();
        if state.failing_removal {
            return Err(refused());
        }
        state.removals += 1;
        state.v4 = FamilyState::default();
        state.v6 = FamilyState::default();
        Ok(())
    }
}

/// Has the tables of a family.
trait Holds<F: Family> {
    fn family(&mut self) -> &mut FamilyState<F>;
}

impl Holds<V4> for State {
    fn family(&mut self) -> &mut FamilyState<V4> {
        &mut self.v4
    }
}

impl Holds<V6> for State {
    fn family(&mut self) -> &mut FamilyState<V6> {
        &mut self.v6
    }
}

impl<F: Family> Tables<F> for Kernel
where
    State: Holds<F>,
{
    fn limits(&self) -> Limits {
        LIMITS
    }

    fn contents(&mut self) -> Result<Contents<F>, Error> {
        let mut state = self.state();
        state.reads += 1;
        Ok(state.family().contents.clone())
    }

    fn apply(&mut self, ops: &[Op<F>]) -> (usize, Result<(), Error>) {
        let mut state = self.state();
        for (done, op) in ops.iter().enumerate() {
            let failing = state.failing_families.contains(&F::NAME);
            if failing || state.failing_ops > 0 {
                state.failing_ops = state.failing_ops.saturating_sub(1);
                return (done, Err(refused()));
            }
            state.writes += 1;
            if matches!(op, Op::PutRange { .. }) && state.placed_before_write.is_none() {
                let last = state.placements.last();
                state.placed_before_write = Some(last.is_some_and(|placement| !placement.pod_facing.is_empty()));
            }
            state.family().apply(op);
        }
        (ops.len(), Ok(()))
    }
}

impl Datapath for Kernel {
    fn place(&mut self, placement: &Placement) -> Result<(), Error> {
        self.state().placements.push(placement.clone());
        Ok(())
    }

    fn repair(&mut self, _placement: Option<&Placement>) -> Result<Vec<String>, Error> {
        let mut state = self.state();
        state.looks += 1;
        Ok(std::mem::take(&mut state.taken_away))
    }

    fn leave_translated(&mut self) -> Result<u32, Error> {
        let mut state = self.state();
        let frontends = state.v4.contents.services.len();
        state.left.push(frontends);
        Ok(0)
    }

    fn keep_apart(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn clear_kube_proxy(&mut self) -> Cleared {
        let mut state = self.state();
        let frontends = state.v4.contents.services.len();
        state.cleared.push(frontends);
        let cleared = state.leftovers.clone();
        state.leftovers.removed.clear();
        cleared
    }

    fn hand_over(&mut self) -> Result<Option<HandOver>, Error> {
        self.state().hand_overs += 1;
        Ok(None)
    }

    fn counted_services(&self) -> Vec<(SocketAddr, Protocol)> {
        let counted = self.state().counted.clone();
        counted.into_iter().map(|address| (address, Protocol::Tcp)).collect()
    }

    fn count_services(&mut self, frontends: &[(SocketAddr, Protocol)]) -> Result<(), Error> {
        let mut state = self.state();
        if state.failing_counts > 0 {
            state.failing_counts -= 1;
            return Err(refused());
        }
        state.counted = frontends.iter().map(|(address, _)| *address).collect();
        Ok(())
    }

    fn frontends_gone(&self) -> u64 {
        0
    }

    fn none_lingers(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn serves_pods(&self) -> bool {
        let state = self.state();
        state
            .placements
            .last()
            .is_some_and(|placement| !placement.pod_facing.is_empty())
    }

    fn take_events(&mut self) -> Option<Events> {
        None
    }

    fn report(&self) -> Report {
        let state = self.state();
        Report {
            map_writes: state.writes,
            counters: vec![Counter {
                reason: Reason::RefuseSnatExhausted.name(),
                count: state.refused,
            }],
            ..Report::default()
        }
    }
}
