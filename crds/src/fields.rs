//! The groups of fields of a `KubeProxyReplacement`, one module each.

mod kube_proxy;
mod kube_proxy_rules;
mod load_balancer;
mod maps;
mod metrics;
mod mode;
mod node_port;
mod node_selector;
mod port_range;
mod session_affinity;
mod socket_lb;
mod update_strategy;

pub use kube_proxy::{KubeProxy, KubeProxyPolicy};
pub use kube_proxy_rules::KubeProxyRules;
pub use load_balancer::{Acceleration, Algorithm, DsrDispatch, ForwardingMode, LoadBalancer};
pub use maps::Maps;
pub use metrics::{Metrics, PerService};
pub use mode::{Mode, Services};
pub use node_port::NodePort;
pub use node_selector::{NodeSelector, Requirement, SelectorOperator};
pub use port_range::{PortRange, PortRangeError};
pub use session_affinity::SessionAffinity;
pub use socket_lb::SocketLb;
pub use update_strategy::{OnFailure, UpdateStrategy};
