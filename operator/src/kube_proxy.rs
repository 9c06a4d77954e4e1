//! kube-proxy: found, parked while kpr serves in its place, and brought back before kpr goes.
//!
//! * [`view`]: its DaemonSets and pods, reduced to what decisions depend on.
//! * [`parking`]: how a DaemonSet is kept off nodes so that nothing of it is lost, and how it is let back.
//! * [`plan()`]: what becomes of it now, for one policy. [`give_back`]: when a node may let its datapath go.
//! * [`outlook`]: what the user is told.
//!
//! Everything that is remembered is in the API: on the DaemonSet, which policies keep it parked and what it looked like before; in
//! each NodeDatapath, whether the node removes its rules, and since when it waits for it to come back. So an operator that starts
//! anew at any point goes on where the last one was.
//!
//! The order is what keeps traffic flowing. On the way out: every node serves; the DaemonSet is parked; no pod of it is left on a
//! node; that node removes its rules. On the way back: no node removes rules any more; the DaemonSet is let back; its pod is ready
//! on a node and its rules are there; that node's datapath goes.

pub mod give_back;
pub mod outlook;
pub mod parking;
mod plan;
#[cfg(test)]
mod tests;
pub mod view;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kpr_crds::{KubeProxyPolicy, KubeProxyReplacement};
use kube::ResourceExt;

pub use outlook::Outlook;
pub use plan::{Patch, Plan, Question, plan};
pub use view::State;

/// What decisions about kube-proxy depend on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Input<'a> {
    /// What there is of it; none while that is not known.
    pub state: Option<&'a State<'a>>,
    /// How long a node waits for it to come back before its datapath goes all the same.
    pub patience: Duration,
}

/// Is a DaemonSet parked for this policy, which is being deleted? Then it must not go yet: nobody would let it back.
///
/// Where that can't be told, because DaemonSets can't be read, it is taken for so for a while.
pub fn holds(policy: &KubeProxyReplacement, kube_proxy: Input<'_>, now: Timestamp) -> bool {
    match kube_proxy.state {
        Some(state) => state
            .daemon_sets
            .iter()
            .any(|set| set.parked_by.contains(&policy.name_any())),
        None if policy.spec.kube_proxy.policy == KubeProxyPolicy::Disable => {
            let since = policy.metadata.deletion_timestamp.as_ref().map_or(now, |time| time.0);
            let patience = SignedDuration::try_from(kube_proxy.patience).unwrap_or(SignedDuration::ZERO);
            now.duration_since(since) < patience
        }
        None => false,
    }
}

/// How kube-proxy is looked for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Settings {
    /// Namespace of its DaemonSet and pods.
    pub namespace: String,
    /// How long a node waits for it to come back before its datapath goes all the same.
    pub patience: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            namespace: "kube-system".to_owned(),
            patience: Duration::from_mins(3),
        }
    }
}
