//! What the datapath is told at start: where things are, and what changes the programs' code.

use std::path::PathBuf;

/// Where the datapath lives on this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// The cgroup2 directory whose sockets are load-balanced: the root of the hierarchy on a real node.
    pub cgroup_root: PathBuf,
    /// Directory on a bpffs in which maps and links are pinned; made when absent.
    pub bpffs_root: PathBuf,
    /// Directory for what has to be remembered to undo it at removal, such as a sysctl's value before.
    pub run_dir: PathBuf,
    /// Directory of the node's sysctls: `/proc/sys`, or where the node's own is mounted in a container, whose `/proc/sys` is
    /// read-only.
    pub sysctl_root: PathBuf,
    /// How the packet programs are attached.
    pub tc: TcChoice,
}

/// How the packet programs are attached to devices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TcChoice {
    /// By tcx links where the kernel has them (6.6), else by clsact filters.
    #[default]
    Auto,
    /// By clsact filters, whatever the kernel has.
    Clsact,
}

/// An inclusive range of ports, machine byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub min: u16,
    /// Last port.
    pub max: u16,
}

impl PortRange {
    /// How many ports there are.
    pub fn count(&self) -> u32 {
        u32::from(self.max) - u32::from(self.min) + 1
    }
}

/// What is compiled into the programs as read-only data. A change loads new programs and swaps them without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Ports that may be NodePorts.
    pub node_ports: PortRange,
    /// Source ports that SNAT towards remote backends may use.
    pub snat_ports: PortRange,
    /// Whose sockets are balanced.
    pub socket_lb: SocketLb,
    /// Whether the node's own processes are kept off the ports of NodePorts and hostPorts.
    pub bind_protection: bool,
    /// Which flows to backends on other nodes are encapsulated, and answered by the backend's node.
    pub dsr: Dsr,
    /// How they are encapsulated.
    pub dsr_dispatch: DsrDispatch,
    /// Whether connections are counted, and go to backends that have few.
    pub least_connections: bool,
    /// Whether programs count what Services are asked and answer, by frontend ([`FamilyTables::count`](super::FamilyTables::count)).
    pub count_services: bool,
    /// How many bytes of events may wait for their reader, a power of two and of pages at least; none: the programs tell nothing, and
    /// have nothing to tell with.
    pub events: Option<u32>,
    /// Capacities of the maps.
    pub sizes: Sizes,
}

/// Whose sockets are balanced when they connect or send (`spec.socketLB`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SocketLb {
    /// Those of all processes on the node.
    #[default]
    All,
    /// Those in the node's own network namespace; pods' packets are balanced one by one.
    HostNamespaceOnly,
    /// None: the socket programs are not attached.
    Off,
}

/// Which new flows to backends on other nodes get direct server return; the others get SNAT (`spec.loadBalancer.mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dsr {
    /// None, and encapsulated packets are left alone.
    #[default]
    Off,
    /// None, but those that have it go on.
    Ending,
    /// Those of TCP.
    Tcp,
    /// All.
    All,
}

/// What is put in front of a packet that is encapsulated (`spec.loadBalancer.dsrDispatch`). Either is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DsrDispatch {
    /// Headers of IP, UDP and Geneve.
    #[default]
    Geneve,
    /// An IP header.
    Ipip,
}

/// Whether packets are handled by XDP, before the kernel has a socket buffer for them (`spec.loadBalancer.acceleration`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acceleration {
    /// No XDP program.
    #[default]
    Disabled,
    /// In the driver where it can, else behind it.
    BestEffort,
    /// In the driver.
    Native,
}

/// Capacities of the maps, in entries. They take effect when a map is created; a pinned map of another size is reported
/// ([`Report::maps`](super::Report)) and kept until the pins are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Frontends.
    pub services: u32,
    /// Slots: the sum of the lengths of all distinct backend lists and their Maglev tables.
    pub slots: u32,
    /// Backends.
    pub backends: u32,
    /// Tracked flow directions of the packet path.
    pub flows: u32,
    /// Connected sockets, and as many translated destinations of unconnected ones.
    pub peers: u32,
    /// Clients with session affinity.
    pub affinity: u32,
}

impl Sizes {
    /// Sizes that follow the machine's memory: `ratio` of it for the tables that grow with traffic, as
    /// Cilium's `bpf-map-dynamic-size-ratio` does, within bounds that suit a laptop and a large server.
    #[must_use]
    pub fn dynamic(memory_bytes: u64, ratio: f64) -> Self {
        // One flow direction costs about 100 bytes with the kernel's own bookkeeping, a peer about the same. Slots have 4 bytes, and get a
        // quarter as much on top: for Maglev tables, to which a cluster may switch at any time.
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an estimate, clamped right after"
        )]
        let budget = (memory_bytes as f64 * ratio.clamp(0.0, 0.5)) as u64;
        let clamp = |entries: u64, min: u64, max: u64| u32::try_from(entries.clamp(min, max)).unwrap_or(u32::MAX);
        Self {
            services: 65_536,
            slots: clamp(budget / 4 / 4, 1 << 20, 1 << 24),
            backends: 262_144,
            flows: clamp(budget * 3 / 4 / 100, 131_072, 1 << 23),
            peers: clamp(budget / 4 / 100, 65_536, 1 << 22),
            affinity: 65_536,
        }
    }
}
