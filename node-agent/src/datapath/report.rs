//! What the datapath is doing, for status, metrics and the command line.

pub use super::run_times::RunTime;

/// One look at the datapath.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Where each program is attached.
    pub attachments: Vec<Attachment>,
    /// How devices have the XDP program that were to have it.
    pub acceleration: Vec<Accelerated>,
    /// Each map's capacity and use.
    pub maps: Vec<MapFill>,
    /// What happened so far, by reason; summed over CPUs, since the maps were created.
    pub counters: Vec<Counter>,
    /// Kernel features that were probed and what was chosen, such as "tcx" or "bpf_set_retval".
    pub features: Vec<String>,
    /// Map writes (updates and deletes) since this process started.
    pub map_writes: u64,
    /// Tunnels by which the kernel takes no IPv4 packet whose answer would leave by another device (`rp_filter` 1).
    pub strict_tunnels: Vec<String>,
    /// How long programs have run; none unless the kernel measures it.
    pub run_times: Vec<RunTime>,
}

/// What [`MapFill::name`] says of maps, after the family.
pub mod fill {
    /// Frontends.
    pub const FRONTENDS: &str = "service";
    /// Lists of backends.
    pub const SLOTS: &str = "service slots";
    /// Backends.
    pub const BACKENDS: &str = "service backend";
    /// Who may connect to LoadBalancer frontends.
    pub const SOURCE_RANGES: &str = "source ranges";
    /// Flows.
    pub const CONNECTION_TRACKING: &str = "connection tracking";
}

impl Report {
    /// Enters how many entries of a map of a family are in use: counting them would read the whole map.
    pub fn used(&mut self, family: &str, what: &str, entries: u32) {
        let is_it = |name: &str| name.strip_prefix(family).and_then(|name| name.strip_prefix(' ')) == Some(what);
        if let Some(map) = self.maps.iter_mut().find(|map| is_it(&map.name)) {
            map.entries = Some(entries);
        }
    }
}

/// A program on its hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Name of the program.
    pub program: String,
    /// "cgroup", "tcx", "clsact", "xdp/native" or "xdp/generic".
    pub hook: &'static str,
    /// The cgroup's path, or the device's name.
    pub target: String,
}

/// A device that was to have the XDP program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accelerated {
    /// Its name.
    pub device: String,
    /// How it has it, or why not.
    pub mode: Result<XdpMode, String>,
}

/// Where the kernel runs an XDP program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpMode {
    /// In the driver, before there is a socket buffer.
    Native,
    /// Behind the driver, on a socket buffer.
    Generic,
}

impl XdpMode {
    /// As users read it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// A map's use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapFill {
    /// As `cilium status --verbose` would call it, for example "IPv4 service".
    pub name: String,
    /// Most entries it can hold.
    pub capacity: u32,
    /// Entries in use; `None` where nobody has counted them.
    pub entries: Option<u32>,
}

/// A counter of the datapath.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counter {
    /// Name of the reason, for example "drop_no_endpoint".
    pub reason: &'static str,
    /// Number of packets or socket calls.
    pub count: u64,
}
