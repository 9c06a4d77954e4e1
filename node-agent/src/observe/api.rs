//! What the local API answers: shared by the agent, which fills it in, and the command line, which prints it.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::tasks::TaskStatus;

/// Version of [`Status`]: fields may be added under the same version, never removed or changed.
pub const STATUS_VERSION: &str = "agent.kpr.dev/v1";

/// Answer of `GET /status`: everything that the agent knows about itself and its node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// [`STATUS_VERSION`].
    pub api_version: String,
    /// Name of the Node.
    pub node: String,
    /// The agent's version.
    pub agent_version: String,
    /// When this process started.
    pub started: Timestamp,
    /// The agent's clock when it answered; ages are counted from here.
    pub now: Timestamp,
    /// The API server, as seen from here.
    pub kubernetes: Kubernetes,
    /// The configuration that the node runs with; none before the operator has written one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// What the agent is doing.
    pub phase: Phase,
    /// What is wrong, or what the agent waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// What is programmed.
    pub services: Services,
    /// What cannot be served as its owner wrote it: the first few, each in a sentence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
    /// Devices that serve external traffic.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// How Services are served; none while the datapath is not loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Details>,
    /// Where each program is attached.
    #[serde(default)]
    pub attachments: Vec<Attachment>,
    /// Kernel features that were found and chosen.
    #[serde(default)]
    pub kernel: Kernel,
    /// The maps and how full they are.
    #[serde(default)]
    pub maps: Vec<Map>,
    /// What happened to packets and socket calls, by reason, since the maps were made.
    #[serde(default)]
    pub counters: Vec<Counter>,
    /// What became of rules that a kube-proxy has left on this node; none if there were none, or they are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leftovers: Option<String>,
    /// The last sweep of idle flows; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
    /// Map writes since this process started.
    pub map_writes: u64,
    /// What somebody else changed of the datapath and was put back, since this process started.
    #[serde(default)]
    pub repairs: u64,
    /// The background tasks.
    #[serde(default)]
    pub tasks: Vec<TaskStatus>,
    /// What the agents of other nodes say; none while none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
}

/// What agents said when this one last asked them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// When that was.
    pub at: Timestamp,
    /// Agents that are known; in a large cluster not all of them are asked.
    pub known: u32,
    /// Those that were asked, this one first.
    pub nodes: Vec<ClusterNode>,
}

/// An agent that was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterNode {
    /// Name of the Node.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// It is this node.
    pub own: bool,
    /// It answered.
    pub reachable: bool,
    /// It said that its node serves Services.
    pub serves: bool,
    /// How long the answer took, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
    /// Why there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// Answer of `GET /frontends`: what the frontends that maps hold are called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Frontends {
    /// [`STATUS_VERSION`].
    pub api_version: String,
    /// Each once, in no order.
    pub frontends: Vec<FrontendName>,
}

/// Answer of `GET /pods/NAMESPACE/NAME`: where a Pod of this node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pod {
    /// [`STATUS_VERSION`].
    pub api_version: String,
    /// Its addresses; empty: no such Pod runs on this node.
    pub addresses: Vec<IpAddr>,
}

/// What a frontend is called in Kubernetes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FrontendName {
    /// Address and port; the unspecified address stands for every address of the node.
    pub frontend: SocketAddr,
    /// "TCP", "UDP" or "SCTP".
    pub protocol: String,
    /// `namespace/name` of the Service; `namespace/pod/name` of a Pod with a hostPort.
    pub service: String,
    /// Name of the Service's port; empty for the single port of a Service that does not name it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub port: String,
}

/// Answer of `GET /log` and of `PUT /log`, whose body is a filter: which log lines are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Log {
    /// [`STATUS_VERSION`].
    pub api_version: String,
    /// The filter in force, as `--log` takes it.
    pub filter: String,
    /// The one that the agent was started with.
    pub initial: String,
}

impl Log {
    /// Both filters.
    pub fn new(filter: String, initial: String) -> Self {
        Self {
            api_version: STATUS_VERSION.to_owned(),
            filter,
            initial,
        }
    }
}

/// The API server, as seen from this node.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kubernetes {
    /// Where it is.
    pub server: String,
    /// Whether it answered last time.
    pub reachable: bool,
    /// Its version, such as "v1.36.2", once it answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Its platform, such as "linux/amd64".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Since when it has been reachable, or away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// Why it is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The kinds that the agent watches.
    #[serde(default)]
    pub apis: Vec<String>,
}

/// Which KubeProxyReplacement this node runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Policy {
    /// Name of the KubeProxyReplacement.
    pub name: String,
    /// Its generation that is applied here.
    pub generation: i64,
    /// "Strict" or "Partial".
    pub mode: String,
}

/// What the agent is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// No NodeDatapath names this node yet.
    #[default]
    Waiting,
    /// The datapath could not be loaded; the agent tries again.
    Failed,
    /// The datapath is loaded; Services are not yet known in full.
    Syncing,
    /// Services are programmed.
    Active,
    /// The node is being cleaned, because its NodeDatapath says so.
    Draining,
    /// Nothing of kpr is left on this node.
    Removed,
}

/// What is programmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Services {
    /// Whether Services and EndpointSlices have been read in full since this process started.
    pub synced: bool,
    /// Services known.
    pub services: u32,
    /// Frontends programmed.
    pub frontends: u32,
    /// Backends programmed.
    pub backends: u32,
    /// Services whose programming failed and is tried again.
    pub pending: u32,
    /// Things that cannot be served as their owners wrote them.
    pub problems: u32,
}

/// A device that serves external traffic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether traffic to other nodes leaves by it.
    pub direct_routing: bool,
}

/// How Services are served on this node: what is really active, not what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Details {
    /// Transports, such as "TCP".
    pub protocols: Vec<String>,
    /// Address families, such as "IPv4".
    pub ip_families: Vec<String>,
    /// How packets for remote backends are forwarded: "SNAT", "DSR", "Hybrid".
    pub forwarding: String,
    /// What encapsulated packets have in front: "Geneve", "IPIP"; none without DSR.
    #[serde(default)]
    pub dsr_dispatch: Option<String>,
    /// How a backend is chosen: "Random" or "Maglev (Table Size: 16381)".
    pub backend_selection: String,
    /// Translation at connect() and sendmsg().
    pub socket_lb: Feature,
    /// Balancing of pods' packets one by one, on pod-facing devices: on how many, and why.
    #[serde(default)]
    pub pod_devices: Feature,
    /// Clients stick to a backend.
    pub session_affinity: Feature,
    /// Load balancing in the device driver.
    pub xdp_acceleration: Feature,
    /// The kinds of frontends, in the order of the reference's list.
    pub services: Vec<ServiceKind>,
    /// How the maps got their sizes: "on (ratio: 0.002500)" or "off".
    pub map_sizing: String,
}

/// A kind of frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServiceKind {
    /// "ClusterIP", "NodePort", "LoadBalancer", "externalIPs" or "HostPort".
    pub name: String,
    /// Whether it is served.
    #[serde(flatten)]
    pub feature: Feature,
}

/// Something that is either on or off, and how or why.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Feature {
    /// Whether it is active.
    pub enabled: bool,
    /// How it is active, or why it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Feature {
    /// Active.
    pub fn on() -> Self {
        Self {
            enabled: true,
            detail: None,
        }
    }

    /// Active, with what is worth knowing about it.
    pub fn on_with(detail: impl Into<String>) -> Self {
        Self {
            enabled: true,
            detail: Some(detail.into()),
        }
    }

    /// Not active, with the reason.
    pub fn off(why: impl Into<String>) -> Self {
        Self {
            enabled: false,
            detail: Some(why.into()),
        }
    }
}

impl std::fmt::Display for Feature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.enabled { "Enabled" } else { "Disabled" })?;
        self.detail.as_ref().map_or(Ok(()), |detail| write!(f, " ({detail})"))
    }
}

/// A program on its hook.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Name of the program.
    pub program: String,
    /// "cgroup", "tcx" or "clsact".
    pub hook: String,
    /// The cgroup's path, or the device's name.
    pub target: String,
}

/// The kernel and what of it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    /// Features that were probed and chosen, such as "tcx".
    #[serde(default)]
    pub features: Vec<String>,
}

/// A map and how full it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Map {
    /// Such as "IPv4 service".
    pub name: String,
    /// Most entries it can hold.
    pub size: u32,
    /// Entries in use; none where the kernel cannot say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<u32>,
}

/// A sweep of idle flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sweep {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// From it to the next, in seconds: the busier the flows, the shorter.
    pub interval_seconds: u64,
    /// What it found, by address family.
    pub tables: Vec<SweptTable>,
}

/// What a sweep found in one table of flows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SweptTable {
    /// "IPv4" or "IPv6".
    pub family: String,
    /// Entries that stay, two for each flow.
    pub live: u32,
    /// Entries that were removed.
    pub expired: u32,
    /// Source ports that are taken towards the backend that has most; none if no flow goes to another node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fullest: Option<SnatUse>,
}

/// How many SNAT source ports are taken towards one backend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SnatUse {
    /// The backend, such as "10.244.1.2:80/TCP".
    pub backend: String,
    /// Source ports taken.
    pub ports: u32,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counter {
    /// Such as `drop_no_endpoint`.
    pub reason: String,
    /// Number of packets or socket calls.
    pub count: u64,
}
