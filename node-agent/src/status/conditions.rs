//! Conditions of the own NodeDatapath.

use kpr_abi::Reason;
use kpr_crds::{
    Acceleration, KubeProxyPolicy, KubeProxyRules, Mode,
    conditions::{ConditionStatus, NodeCondition, NodeReason, Observation},
};

use super::KubeProxy;
use crate::{
    agent::{Outcome, Snapshot, outcome},
    observe::api::Phase,
};

/// Why, in both forms.
type Because = (ConditionStatus, NodeReason, String);

/// What the agent sees, before each condition gets its `lastTransitionTime`.
pub fn observations(snapshot: &Snapshot, kube_proxy: &KubeProxy) -> Vec<Observation> {
    let all = [
        (NodeCondition::Ready, Some(ready(snapshot))),
        (NodeCondition::DevicesAttached, Some(devices_attached(snapshot))),
        (NodeCondition::ServicesSynced, Some(services_synced(snapshot))),
        (
            NodeCondition::KubeProxyAbsent,
            Some(kube_proxy_absent(snapshot, kube_proxy)),
        ),
        (NodeCondition::SnatPortsAvailable, snat_ports_available(snapshot)),
        (NodeCondition::DsrReady, dsr_ready(snapshot)),
        (NodeCondition::Accelerated, accelerated(snapshot)),
        (NodeCondition::Removed, removed(snapshot)),
    ];
    all.into_iter()
        .filter_map(|(condition, because)| {
            let (status, reason, message) = because?;
            Some(Observation {
                type_: condition.as_str(),
                status,
                reason: reason.as_str(),
                message: cut(message),
            })
        })
        .collect()
}

fn ready(snapshot: &Snapshot) -> Because {
    let troubles = &snapshot.troubles;
    if let Some(gone) = going(snapshot) {
        return gone;
    }
    if let Some(load) = &troubles.load {
        let reason = if load.machine {
            NodeReason::KernelUnsupported
        } else {
            NodeReason::LoadFailed
        };
        return (ConditionStatus::False, reason, load.message.clone());
    }
    let trouble = [
        (&troubles.rejected, NodeReason::ConfigRejected),
        (&troubles.no_devices, NodeReason::NoDevices),
        (&troubles.attach, NodeReason::AttachFailed),
    ]
    .into_iter()
    .find_map(|(message, reason)| Some((ConditionStatus::False, reason, message.clone()?)));
    if let Some(trouble) = trouble {
        return trouble;
    }
    match (&snapshot.applied, &snapshot.placement) {
        (Some(applied), Some(_)) if snapshot.phase == Phase::Active => (
            ConditionStatus::True,
            NodeReason::Serving,
            format!("Services are served as {:?} says", applied.spec.policy),
        ),
        _ => (
            ConditionStatus::False,
            NodeReason::Starting,
            "the agent has not read all Services and devices yet".to_owned(),
        ),
    }
}

fn devices_attached(snapshot: &Snapshot) -> Because {
    let troubles = &snapshot.troubles;
    if let Some(gone) = going(snapshot) {
        return gone;
    }
    let load = troubles.load.as_ref().map(|load| load.message.clone());
    // With a datapath in force, one that could not replace it changes nothing about devices.
    let load = load.filter(|_| snapshot.placement.is_none());
    let trouble = [
        (load, NodeReason::LoadFailed),
        (troubles.no_devices.clone(), NodeReason::NoDevices),
        (troubles.attach.clone(), NodeReason::AttachFailed),
    ]
    .into_iter()
    .find_map(|(message, reason)| Some((ConditionStatus::False, reason, message?)));
    trouble.unwrap_or_else(|| match &snapshot.placement {
        Some(placement) => {
            let names: Vec<_> = placement.selection.devices.iter().map(|d| d.name.as_str()).collect();
            (
                ConditionStatus::True,
                NodeReason::Attached,
                format!("attached to {}", names.join(", ")),
            )
        }
        None => (
            ConditionStatus::False,
            NodeReason::Starting,
            "not attached to any device yet".to_owned(),
        ),
    })
}

fn services_synced(snapshot: &Snapshot) -> Because {
    let troubles = &snapshot.troubles;
    if let Some(gone) = going(snapshot) {
        return gone;
    }
    let trouble = [
        (&troubles.full, NodeReason::MapFull),
        (&troubles.write, NodeReason::WriteFailed),
    ]
    .into_iter()
    .find_map(|(message, reason)| Some((ConditionStatus::False, reason, message.clone()?)));
    trouble.unwrap_or_else(|| {
        let complete = snapshot.phase == Phase::Active && snapshot.behind_since.is_none();
        if complete {
            let message = "every known Service is programmed".to_owned();
            (ConditionStatus::True, NodeReason::Synced, message)
        } else {
            let message = "Services and EndpointSlices are being read or programmed".to_owned();
            (ConditionStatus::False, NodeReason::Syncing, message)
        }
    })
}

fn kube_proxy_absent(snapshot: &Snapshot, kube_proxy: &KubeProxy) -> Because {
    let spec = snapshot.applied.as_ref().map(|applied| &applied.spec);
    let partial = spec.is_some_and(|spec| spec.mode == Mode::Partial);
    let parks = spec.is_some_and(|spec| spec.kube_proxy.policy == KubeProxyPolicy::Disable);
    let removes = spec.is_some_and(|spec| spec.kube_proxy_rules == KubeProxyRules::Remove);
    let (reason, message) = match kube_proxy {
        KubeProxy::Unknown => {
            let message = "the agent has not looked for kube-proxy yet".to_owned();
            return (ConditionStatus::Unknown, NodeReason::NotChecked, message);
        }
        KubeProxy::Absent => return (ConditionStatus::True, NodeReason::NotFound, absent(snapshot)),
        KubeProxy::Starting { mode } => (
            NodeReason::RulesMissing,
            format!("kube-proxy runs in mode {mode}, and has written no rules yet"),
        ),
        KubeProxy::Running { mode } if partial => (
            NodeReason::Running,
            format!("kube-proxy runs in mode {mode} and serves the kinds of Services that spec.services leaves to it"),
        ),
        KubeProxy::Running { mode } if parks => (
            NodeReason::Running,
            format!("kube-proxy runs in mode {mode}; it goes once every node serves"),
        ),
        KubeProxy::Running { mode } => (
            NodeReason::Running,
            format!(
                "kube-proxy runs in mode {mode} though kpr serves every Service: set spec.kubeProxy.policy to Disable, or \
                 remove its DaemonSet, then its rules (`kube-proxy --cleanup`)"
            ),
        ),
        KubeProxy::Rules(found) if partial => (
            NodeReason::RulesLeft,
            format!(
                "nothing answers as kube-proxy, but its {found} are here and serve what spec.services leaves to them"
            ),
        ),
        KubeProxy::Rules(found) => match &snapshot.troubles.leftovers {
            Some(trouble) => (NodeReason::CleanUpFailed, trouble.clone()),
            None if removes => (NodeReason::RulesLeft, format!("its {found} are being removed")),
            None if parks => (
                NodeReason::RulesLeft,
                format!("nothing answers as kube-proxy, but its {found} are here"),
            ),
            None => (
                NodeReason::RulesLeft,
                format!(
                    "nothing answers as kube-proxy, but its {found} are here: remove its DaemonSet if there still is one, \
                     then its rules (`kube-proxy --cleanup`)"
                ),
            ),
        },
    };
    (ConditionStatus::False, reason, message)
}

/// Nothing of it is here; and what was done for that.
fn absent(snapshot: &Snapshot) -> String {
    let mut parts = vec![format!(
        "nothing answers as kube-proxy at {}, and none of its rules is here",
        super::kube_proxy::PROXY_MODE
    )];
    if let Some(cleared) = &snapshot.cleared {
        if !cleared.removed.is_empty() {
            parts.push(format!("removed: {}", cleared.removed.join(", ")));
        }
        parts.extend(cleared.why_kept());
    }
    parts.join("; ")
}

/// Only there once a flow was refused.
fn snat_ports_available(snapshot: &Snapshot) -> Option<Because> {
    if let Some(exhausted) = &snapshot.troubles.exhausted {
        return Some((
            ConditionStatus::False,
            NodeReason::SnatPortsExhausted,
            exhausted.clone(),
        ));
    }
    let refused = Reason::RefuseSnatExhausted.name();
    let counter = snapshot
        .report
        .counters
        .iter()
        .find(|counter| counter.reason == refused)?;
    (counter.count > 0).then(|| {
        let message = "no flow was refused lately for want of a source port".to_owned();
        (ConditionStatus::True, NodeReason::SnatPortsFree, message)
    })
}

/// Only there if DSR is asked for.
fn dsr_ready(snapshot: &Snapshot) -> Option<Because> {
    /// Nodes that the message names; further ones are counted.
    const NAMED: usize = 10;
    let without = snapshot.without_dsr.as_deref()?;
    let strict = snapshot.report.strict_tunnels.as_slice();
    if without.is_empty() && strict.is_empty() {
        let message = "every node with endpoints takes encapsulated packets".to_owned();
        return Some((ConditionStatus::True, NodeReason::AllNodesTakeDsr, message));
    }
    let named: Vec<&str> = without.iter().take(NAMED).map(AsRef::as_ref).collect();
    let more = match without.len() - named.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let others = (!without.is_empty()).then(|| {
        format!(
            "endpoints get SNAT on nodes that do not take encapsulated packets: {}{more}",
            named.join(", ")
        )
    });
    let own = (!strict.is_empty()).then(|| {
        format!(
            "this node's endpoints get SNAT, since rp_filter is 1 on {}, and packets of clients outside would be dropped there: set it to 2",
            strict.join(", ")
        )
    });
    let message = own.into_iter().chain(others).collect::<Vec<_>>().join("; ");
    Some((ConditionStatus::False, NodeReason::NodesWithoutDsr, message))
}

/// Only there if XDP is asked for.
fn accelerated(snapshot: &Snapshot) -> Option<Because> {
    let wanted = snapshot.applied.as_ref()?.spec.load_balancer.acceleration;
    if wanted == Acceleration::Disabled {
        return None;
    }
    if let Some(gone) = going(snapshot) {
        return Some(gone);
    }
    if snapshot.placement.is_none() {
        let message = "not attached to any device yet".to_owned();
        return Some((ConditionStatus::False, NodeReason::Starting, message));
    }
    Some(match outcome(wanted, &snapshot.report) {
        Outcome::NotWanted => return None,
        Outcome::Attached(told) => (ConditionStatus::True, NodeReason::XdpAttached, told),
        Outcome::NotAttached(told) => (ConditionStatus::False, NodeReason::XdpNotAttached, told),
        Outcome::Unavailable(told) => (ConditionStatus::False, NodeReason::XdpUnavailable, told),
    })
}

/// Only there once `phase: Draining` was carried out, or could not be.
fn removed(snapshot: &Snapshot) -> Option<Because> {
    match (&snapshot.troubles.removal, snapshot.phase) {
        (Some(message), _) => Some((ConditionStatus::False, NodeReason::RemovalFailed, message.clone())),
        (None, Phase::Removed) => Some((
            ConditionStatus::True,
            NodeReason::Removed,
            "no program, pin or sysctl of kpr is left on this node".to_owned(),
        )),
        (None, _) => None,
    }
}

fn going(snapshot: &Snapshot) -> Option<Because> {
    let message = match snapshot.phase {
        Phase::Draining => "the datapath is being removed",
        Phase::Removed => "the datapath was removed",
        _ => return None,
    };
    Some((ConditionStatus::False, NodeReason::Draining, message.to_owned()))
}

/// The API allows 32768 characters; nobody reads that many.
fn cut(mut message: String) -> String {
    const LONGEST: usize = 1024;
    if message.len() > LONGEST {
        let end = (0..=LONGEST)
            .rev()
            .find(|&end| message.is_char_boundary(end))
            .unwrap_or(0);
        message.truncate(end);
        message.push('…');
    }
    message
}
