//! Reasons of conditions: stable names that programs may rely on.

/// Reasons that the operator gives for conditions of a `KubeProxyReplacement`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum PolicyReason {
    /// Available: every node serves.
    AllNodesReady,
    /// Available: some nodes don't serve.
    NodesNotReady,
    /// Available: the node selector matches no node.
    NoNodes,
    /// Progressing: every node has the newest generation.
    RolledOut,
    /// Progressing: some nodes don't have the newest generation yet.
    RollingOut,
    /// Progressing: nodes that were not ready before the change are not ready with it either, and hold it up.
    RolloutStalled,
    /// Progressing: a node did not become ready with the newest generation, so no further node is changed.
    RolloutHalted,
    /// Progressing: a node did not become ready with the newest generation, so changed nodes go back.
    RollingBack,
    /// Progressing: the changed nodes are back at the generation that they served with before.
    RolledBack,
    /// Progressing: a changed node does not become ready with the generation that it served with before either.
    RollbackStalled,
    /// Progressing, Available: the object is being deleted and nodes remove their datapath.
    Draining,
    /// Degraded: no node reports a failure.
    AsExpected,
    /// Degraded: nodes report that they can't do what the spec asks for.
    NodesFailing,
    /// Degraded: the newest generation was stopped or taken back.
    RolloutFailed,
    /// Degraded: agents don't know all fields of the spec.
    UnknownFields,
    /// Degraded: some endpoints get SNAT though the spec asks for DSR, because their nodes do not take encapsulated packets.
    NodesWithoutDsr,
    /// Conflicted: no node is claimed by an older object.
    NoConflict,
    /// Conflicted: nodes belong to an older object.
    NodesClaimed,
    /// KubeProxyAbsent: no node has it.
    NotFound,
    /// KubeProxyAbsent: nodes have it.
    Found,
    /// KubeProxyAbsent: not every node has said it yet.
    NotReported,
    /// KubeProxyAbsent: its DaemonSet is parked, and no node has anything of it.
    Parked,
    /// KubeProxyAbsent: it is to be parked once every node serves.
    WaitingForNodes,
    /// KubeProxyAbsent: its DaemonSet is parked, and pods of it are still on nodes.
    Parking,
    /// KubeProxyAbsent: its DaemonSet is parked, and nodes remove its rules.
    CleaningUp,
    /// KubeProxyAbsent: nodes can't remove its rules.
    CleanUpFailed,
    /// KubeProxyAbsent: it is to be parked, but can't be.
    NotParkable,
    /// KubeProxyAbsent: it is brought back before the datapath goes.
    Restoring,
}

impl PolicyReason {
    /// The `reason` of the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AllNodesReady => "AllNodesReady",
            Self::NodesNotReady => "NodesNotReady",
            Self::NoNodes => "NoNodes",
            Self::RolledOut => "RolledOut",
            Self::RollingOut => "RollingOut",
            Self::RolloutStalled => "RolloutStalled",
            Self::RolloutHalted => "RolloutHalted",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::RollbackStalled => "RollbackStalled",
            Self::Draining => "Draining",
            Self::AsExpected => "AsExpected",
            Self::NodesFailing => "NodesFailing",
            Self::RolloutFailed => "RolloutFailed",
            Self::UnknownFields => "UnknownFields",
            Self::NodesWithoutDsr => "NodesWithoutDSR",
            Self::NoConflict => "NoConflict",
            Self::NodesClaimed => "NodesClaimed",
            Self::NotFound => "NotFound",
            Self::Found => "Found",
            Self::NotReported => "NotReported",
            Self::Parked => "Parked",
            Self::WaitingForNodes => "WaitingForNodes",
            Self::Parking => "Parking",
            Self::CleaningUp => "CleaningUp",
            Self::CleanUpFailed => "CleanUpFailed",
            Self::NotParkable => "NotParkable",
            Self::Restoring => "Restoring",
        }
    }
}

/// Reasons that agents give for conditions of a `NodeDatapath`.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum NodeReason {
    /// Ready: Services are served.
    Serving,
    /// Any: the agent has just started.
    Starting,
    /// Ready: the datapath is being removed, or was.
    Draining,
    /// Ready: the agent refuses the configuration; the last one that it took stays in force.
    ConfigRejected,
    /// Ready: the kernel lacks something that the datapath needs.
    KernelUnsupported,
    /// Ready, DevicesAttached: programs can't be loaded.
    LoadFailed,
    /// DevicesAttached: attached to the cgroup and to every device.
    Attached,
    /// DevicesAttached: no device fits `spec.devices`, or none was found.
    NoDevices,
    /// DevicesAttached: attaching failed.
    AttachFailed,
    /// ServicesSynced: everything that the agent knows of is programmed.
    Synced,
    /// ServicesSynced: the first lists are not complete, or a plan is being carried out.
    Syncing,
    /// ServicesSynced: a map is full.
    MapFull,
    /// ServicesSynced: the kernel refused a write.
    WriteFailed,
    /// KubeProxyAbsent: it is not there.
    NotFound,
    /// KubeProxyAbsent: it runs on the node.
    Running,
    /// KubeProxyAbsent: it runs on the node, and has written no rules yet.
    RulesMissing,
    /// KubeProxyAbsent: it does not run, but rules of it are on the node.
    RulesLeft,
    /// KubeProxyAbsent: rules of it are on the node, and can't be removed.
    CleanUpFailed,
    /// KubeProxyAbsent: the agent can't tell.
    NotChecked,
    /// SnatPortsAvailable: no flow was refused lately.
    SnatPortsFree,
    /// SnatPortsAvailable: flows are refused, because all source ports towards a backend are taken.
    SnatPortsExhausted,
    /// DSRReady: every node with endpoints takes encapsulated packets.
    AllNodesTakeDsr,
    /// DSRReady: endpoints on some nodes get SNAT, because these do not.
    NodesWithoutDsr,
    /// Accelerated: devices have XDP, at least one of them.
    XdpAttached,
    /// Accelerated: devices that are to have XDP in their drivers have it not.
    XdpNotAttached,
    /// Accelerated: no device can have XDP, and none must.
    XdpUnavailable,
    /// Removed: programs, pins and sysctls are gone.
    Removed,
    /// Removed: something could not be removed.
    RemovalFailed,
}

impl NodeReason {
    /// The `reason` of the condition.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Serving => "Serving",
            Self::Starting => "Starting",
            Self::Draining => "Draining",
            Self::ConfigRejected => "ConfigRejected",
            Self::KernelUnsupported => "KernelUnsupported",
            Self::LoadFailed => "LoadFailed",
            Self::Attached => "Attached",
            Self::NoDevices => "NoDevices",
            Self::AttachFailed => "AttachFailed",
            Self::Synced => "Synced",
            Self::Syncing => "Syncing",
            Self::MapFull => "MapFull",
            Self::WriteFailed => "WriteFailed",
            Self::NotFound => "NotFound",
            Self::Running => "Running",
            Self::RulesMissing => "RulesMissing",
            Self::RulesLeft => "RulesLeft",
            Self::CleanUpFailed => "CleanUpFailed",
            Self::NotChecked => "NotChecked",
            Self::SnatPortsFree => "SnatPortsFree",
            Self::SnatPortsExhausted => "SnatPortsExhausted",
            Self::AllNodesTakeDsr => "AllNodesTakeDSR",
            Self::NodesWithoutDsr => "NodesWithoutDSR",
            Self::XdpAttached => "XdpAttached",
            Self::XdpNotAttached => "XdpNotAttached",
            Self::XdpUnavailable => "XdpUnavailable",
            Self::Removed => "Removed",
            Self::RemovalFailed => "RemovalFailed",
        }
    }
}
