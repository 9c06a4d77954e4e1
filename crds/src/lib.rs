//! The API of kpr: group `kpr.dev`, version `v1alpha1`.
//!
//! A user writes a [`KubeProxyReplacement`]: which nodes, and how they serve Services. The operator turns it into one
//! [`NodeDatapath`] per node, whose `spec` is the resolved configuration; the agent of that node writes its `status`.
//! So every part of every object has exactly one writer.
//!
//! The types here are the source of the CRDs in `crds/*.yaml` ([`codegen`]); a test guards against drift.

#![expect(
    unreachable_pub,
    reason = "the schema derive declares public helper structs inside of functions"
)]
#![expect(
    clippy::duplicated_attributes,
    reason = "every printer column has a type and a priority"
)]

pub mod codegen;
pub mod conditions;
mod fields;
pub mod names;
mod node_datapath;
mod policy;
mod resolve;
mod schema;

pub use fields::{
    Acceleration, Algorithm, DsrDispatch, ForwardingMode, KubeProxy, KubeProxyPolicy, KubeProxyRules, LoadBalancer,
    Maps, Metrics, Mode, NodePort, NodeSelector, OnFailure, PerService, PortRange, PortRangeError, Requirement,
    SelectorOperator, Services, SessionAffinity, SocketLb, UpdateStrategy,
};
pub use node_datapath::{
    Counts, DeviceStatus, KernelFeature, KernelStatus, MapStatus, NodeDatapath, NodeDatapathSpec, NodeDatapathStatus,
    Phase, Programming,
};
pub use policy::{
    KubeProxyReplacement, KubeProxyReplacementSpec, KubeProxyReplacementStatus, RolloutFailure, RolloutStatus,
};

/// The `Condition` of the Kubernetes API conventions (`metav1.Condition`).
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
/// A number of nodes, or a percentage such as `10%`.
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
