//! A Kubernetes cluster whose nodes, pods and outside client are network namespaces of this machine.
//!
//! Traffic is real and the programs under test are the real ones; only the machines are not. The demo walks through
//! such a cluster, and the scenarios prove kpr on it.

pub mod address;
pub mod cgroup;
pub mod claim;
pub mod client;
pub mod cluster;
pub mod conformance;
pub mod control;
pub mod demo;
pub mod id;
pub mod inspect;
pub mod interrupt;
pub mod kube_proxy;
pub mod kubelet;
pub mod load_balancer;
pub mod net;
pub mod owner;
pub mod process;
pub mod scenario;
mod sctp;
pub mod server;
pub mod spec;
pub mod teardown;
pub mod testbed;
