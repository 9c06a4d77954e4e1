//! A stand-in for kube-proxy: it programs the rules that kube-proxy programs, in the network namespaces of the test cluster's
//! nodes, for the cluster's live Services and EndpointSlices.
//!
//! It is what kpr meets on a real node: something to run beside, to take over from and to give back to. Names of tables and
//! chains, comments and the order of rules are kube-proxy's (1.33 to 1.36), since programs look for them; the code is not.
//!
//! Two halves: [`desired`] to [`nftables`] are pure and yield text; [`Running`] watches, applies and answers at kube-proxy's ports.
//! Not there: ipvs, topology hints, `nodePortAddresses`, and the removal of stale UDP entries from conntrack.

mod answers;
mod apply;
mod counters;
mod daemon_set;
pub mod desired;
#[cfg(test)]
mod fixtures;
pub mod iptables;
pub mod names;
pub mod nftables;
mod running;

pub use self::{
    apply::Applied,
    counters::{Destination, Hits},
    daemon_set::{Deployed, NAME},
    running::{Running, node_rules},
};

/// Which part of netfilter it programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KubeProxyMode {
    /// `iptables-restore`, chains `KUBE-…`.
    Iptables,
    /// `nft -f`, tables `kube-proxy`.
    Nftables,
}

impl KubeProxyMode {
    /// As `/proxyMode` answers.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Iptables => "iptables",
            Self::Nftables => "nftables",
        }
    }
}

impl std::fmt::Display for KubeProxyMode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(self.as_str())
    }
}
