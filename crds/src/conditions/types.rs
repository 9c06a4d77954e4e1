//! Types and statuses of conditions.

use std::fmt;

/// Conditions of a `KubeProxyReplacement`, written by the operator.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PolicyCondition {
    /// Every node of the pool serves.
    Available,
    /// A change is on its way to nodes.
    Progressing,
    /// Nodes can't do what the spec asks for.
    Degraded,
    /// Nodes that this object selects belong to an older one.
    Conflicted,
    /// No node of the pool runs kube-proxy or has its rules.
    KubeProxyAbsent,
}

impl PolicyCondition {
    /// The `type` of the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Available => "Available",
            Self::Progressing => "Progressing",
            Self::Degraded => "Degraded",
            Self::Conflicted => "Conflicted",
            Self::KubeProxyAbsent => "KubeProxyAbsent",
        }
    }
}

/// Conditions of a `NodeDatapath`, written by the agent of the node.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum NodeCondition {
    /// The node serves Services with the configuration that the status names.
    Ready,
    /// The programs are attached to the cgroup and to every device.
    DevicesAttached,
    /// Every Service and EndpointSlice that the agent knows of is programmed.
    ServicesSynced,
    /// Neither kube-proxy nor its rules are on the node.
    KubeProxyAbsent,
    /// New flows to backends on other nodes find a source port. Only there once one did not.
    SnatPortsAvailable,
    /// Every node with endpoints takes encapsulated packets. Only there with `loadBalancer.mode` DSR or Hybrid.
    DsrReady,
    /// External devices have XDP, as `loadBalancer.acceleration` asks. Only there if it does.
    Accelerated,
    /// The datapath was removed, as `phase: Draining` asked.
    Removed,
}

impl NodeCondition {
    /// The `type` of the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::DevicesAttached => "DevicesAttached",
            Self::ServicesSynced => "ServicesSynced",
            Self::KubeProxyAbsent => "KubeProxyAbsent",
            Self::SnatPortsAvailable => "SnatPortsAvailable",
            Self::DsrReady => "DSRReady",
            Self::Accelerated => "Accelerated",
            Self::Removed => "Removed",
        }
    }
}

/// `status` of a condition.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl ConditionStatus {
    /// The value as the API spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }

    /// Reads the API's spelling; anything but `True` and `False` is `Unknown`.
    pub fn parse(text: &str) -> Self {
        match text {
            "True" => Self::True,
            "False" => Self::False,
            _ => Self::Unknown,
        }
    }
}

impl From<bool> for ConditionStatus {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

macro_rules! display_as_str {
    ($($name:ty),*) => { $(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    )* };
}
display_as_str!(PolicyCondition, NodeCondition, ConditionStatus);
