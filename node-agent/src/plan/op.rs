//! What a plan consists of.

use kpr_abi::{Address, BackendValue, Family, ServiceKey, ServiceValue};

use super::SlotRun;
use crate::model::NamespacedName;

/// One write to a map of family `F`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op<F: Family> {
    /// Write a backend. Either nothing refers to the id yet, or only flags change.
    PutBackend {
        /// Index into the backend array, never 0.
        id: u32,
        /// The backend.
        value: BackendValue<F::Addr>,
    },
    /// Write backend ids into consecutive slots that nothing refers to.
    PutSlots {
        /// Index of the first slot.
        base: u32,
        /// What is written there; not empty.
        run: SlotRun,
    },
    /// Admit clients to a service, before the value that asks for source ranges is published.
    PutRange {
        /// The service's id and the clients.
        range: AdmittedRange<F::Addr>,
    },
    /// Publish a service: create it, or switch it to other slots, flags or times at once.
    PutService {
        /// The frontend.
        key: ServiceKey<F::Addr>,
        /// Its value.
        value: ServiceValue,
    },
    /// Remove a service.
    DeleteService {
        /// The frontend.
        key: ServiceKey<F::Addr>,
    },
    /// Admit clients no longer.
    DeleteRange {
        /// The service's id and the clients.
        range: AdmittedRange<F::Addr>,
    },
    /// Zero a backend that nothing refers to.
    ClearBackend {
        /// Index into the backend array.
        id: u32,
    },
}

/// One source range of a service: clients of these addresses are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AdmittedRange<A> {
    /// The service's id.
    pub service: u32,
    /// The range's first address.
    pub addr: A,
    /// Its prefix length.
    pub bits: u8,
}

/// Map writes, in the order in which they must be carried out, and what did not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<F: Family> {
    /// Every prefix leaves each service on its old or on its new backends.
    pub ops: Vec<Op<F>>,
    /// Services that keep their old state, or do without a Maglev table. Plan them again once something was deleted or released.
    pub errors: Vec<PlanError>,
}

impl<F: Family> Plan<F> {
    /// Nothing to do, and nothing in the way.
    pub fn is_empty(&self) -> bool {
        self.ops.is_empty() && self.errors.is_empty()
    }

    /// Whether it makes room at once for what did not fit.
    pub fn frees(&self) -> bool {
        let frees = |op: &Op<F>| matches!(op, Op::DeleteService { .. } | Op::DeleteRange { .. });
        self.ops.iter().any(frees)
    }
}

/// How many entries the maps of one family have room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Entries of the service map.
    pub services: u32,
    /// Entries of the slot table.
    pub slots: u32,
    /// Entries of the backend array; id 0 is never used.
    pub backends: u32,
    /// Entries of the trie of source ranges.
    pub source_ranges: u32,
}

/// A Service that does not fit into the maps. It keeps its old state, unless it [is served](PlanError::is_served) otherwise; every other
/// Service goes on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No run of free slots is long enough.
    #[error(
        "{service} needs {needed} free slots in a row, and the longest run has {longest} ({free} of {limit} are free); \
         enlarge the slot table"
    )]
    SlotsExhausted {
        /// The Service.
        service: NamespacedName,
        /// Length of the run that was needed.
        needed: u32,
        /// Longest free run.
        longest: u32,
        /// Free slots in all.
        free: u32,
        /// Size of the table.
        limit: u32,
    },
    /// No run of free slots is long enough for the Service's list and its Maglev table. It goes on with the list alone.
    #[error(
        "{service} needs {needed} free slots in a row for its Maglev table, and the longest run has {longest} ({free} of {limit} are free); \
         its backends are chosen by chance meanwhile; enlarge the slot table"
    )]
    TablesExhausted {
        /// The Service.
        service: NamespacedName,
        /// Length of the run that was needed.
        needed: u32,
        /// Longest free run.
        longest: u32,
        /// Free slots in all.
        free: u32,
        /// Size of the table.
        limit: u32,
    },
    /// No backend id is free.
    #[error("{service} needs more backends than the table's {limit}; enlarge the backend table")]
    BackendsExhausted {
        /// The Service.
        service: NamespacedName,
        /// Size of the table.
        limit: u32,
    },
    /// The service map is full.
    #[error("{service} needs more frontends than the service table's {limit}; enlarge the service table")]
    ServicesExhausted {
        /// The Service.
        service: NamespacedName,
        /// Size of the table.
        limit: u32,
    },
    /// The trie of source ranges is full.
    #[error(
        "{service} needs more source ranges than the table's {limit}; give it, or other Services, fewer and wider ones"
    )]
    SourceRangesExhausted {
        /// The Service.
        service: NamespacedName,
        /// Size of the table.
        limit: u32,
    },
}

impl PlanError {
    /// The Service that did not fit.
    pub const fn service(&self) -> &NamespacedName {
        match self {
            Self::SlotsExhausted { service, .. }
            | Self::TablesExhausted { service, .. }
            | Self::BackendsExhausted { service, .. }
            | Self::ServicesExhausted { service, .. }
            | Self::SourceRangesExhausted { service, .. } => service,
        }
    }

    /// Whether the Service has what it wants, but for a Maglev table.
    pub const fn is_served(&self) -> bool {
        matches!(self, Self::TablesExhausted { .. })
    }

    /// CamelCase, as `reason` of events and conditions.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::SlotsExhausted { .. } | Self::TablesExhausted { .. } => "SlotsExhausted",
            Self::BackendsExhausted { .. } => "BackendsExhausted",
            Self::ServicesExhausted { .. } => "ServicesExhausted",
            Self::SourceRangesExhausted { .. } => "SourceRangesExhausted",
        }
    }
}

/// What a backend is known by: its id stays the same for as long as address, port and protocol do.
pub(super) type Identity<A> = (A, u16, u8);

/// Identity of a backend.
pub(super) fn identity<A: Address>(value: &BackendValue<A>) -> Identity<A> {
    (value.addr, value.port.host(), value.proto)
}
