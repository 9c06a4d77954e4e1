//! What a node gets: the `NodeDatapath` as the operator writes it.

use jiff::Timestamp;
use kpr_crds::{KubeProxyReplacement, KubeProxyRules, NodeDatapath, NodeDatapathSpec, Phase, names};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde_json::{Value, json};

use crate::rollout::{Memory, ROLLOUT};

/// Annotation of a `NodeDatapath`: since when it is `Draining`, so that a restarted operator goes on with the same wait.
pub const DRAINING_SINCE: &str = "kpr.dev/draining-since";

/// Annotation of a `NodeDatapath`: since when the node waits for kube-proxy to come back before its datapath goes.
pub const AWAITED_SINCE: &str = "kpr.dev/kube-proxy-awaited-since";

/// The parts of a `NodeDatapath` that belong to the operator.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Name of the node, and of the object.
    pub node: String,
    /// The policy that owns the object: name and uid.
    pub owner: Owner,
    /// The resolved configuration.
    pub spec: NodeDatapathSpec,
    /// What is noted beside the configuration; none if it is `Draining`.
    pub memory: Option<Memory>,
    /// Since when it is `Draining`.
    pub draining_since: Option<Timestamp>,
    /// Since when kube-proxy is waited for.
    pub awaited_since: Option<Timestamp>,
}

/// The `KubeProxyReplacement` that a `NodeDatapath` belongs to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Owner {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

impl Owner {
    /// The owner that this policy is.
    pub fn new(policy: &KubeProxyReplacement) -> Self {
        Self {
            name: policy.name_any(),
            uid: policy.uid().unwrap_or_default(),
        }
    }
}

/// What every node of this policy should have.
pub fn active(policy: &KubeProxyReplacement) -> NodeDatapathSpec {
    policy.spec.resolve(
        &policy.name_any(),
        policy.metadata.generation.unwrap_or_default(),
        Phase::Active,
    )
}

/// The datapath on its way out. Its configuration stays what it is: a node does not change and drain at the same time.
pub fn draining(policy: &KubeProxyReplacement, datapath: &NodeDatapath, now: Timestamp) -> Desired {
    let spec = NodeDatapathSpec {
        phase: Phase::Draining,
        ..datapath.spec.clone()
    };
    Desired {
        node: datapath.name_any(),
        owner: Owner::new(policy),
        spec,
        memory: None,
        draining_since: Some(draining_since(datapath).unwrap_or(now)),
        awaited_since: None,
    }
}

/// The datapath as it is, but for what becomes of kube-proxy's rules.
pub fn with_rules(policy: &KubeProxyReplacement, datapath: &NodeDatapath, rules: KubeProxyRules) -> Desired {
    Desired {
        node: datapath.name_any(),
        owner: Owner::new(policy),
        spec: NodeDatapathSpec {
            kube_proxy_rules: rules,
            ..datapath.spec.clone()
        },
        memory: Memory::of(datapath),
        draining_since: None,
        awaited_since: None,
    }
}

/// The datapath that goes once kube-proxy is back.
pub fn awaiting(policy: &KubeProxyReplacement, datapath: &NodeDatapath, now: Timestamp) -> Desired {
    Desired {
        awaited_since: Some(awaited_since(datapath).unwrap_or(now)),
        ..with_rules(policy, datapath, KubeProxyRules::Keep)
    }
}

/// Since when the object is `Draining`, if it says so.
pub fn draining_since(datapath: &NodeDatapath) -> Option<Timestamp> {
    datapath.annotations().get(DRAINING_SINCE)?.parse().ok()
}

impl Owner {
    /// Does the object say that it is this owner's?
    pub fn has(&self, datapath: &NodeDatapath) -> bool {
        let referred = datapath
            .owner_references()
            .iter()
            .any(|owner| owner.uid == self.uid && owner.controller == Some(true));
        referred && datapath.labels().get(names::POLICY_LABEL) == Some(&self.name)
    }
}

/// Since when kube-proxy is waited for, if the object says so.
pub fn awaited_since(datapath: &NodeDatapath) -> Option<Timestamp> {
    datapath.annotations().get(AWAITED_SINCE)?.parse().ok()
}

impl Desired {
    /// Does the object already say all of this?
    pub fn is_in(&self, datapath: &NodeDatapath) -> bool {
        self.owner.has(datapath)
            && datapath.spec == self.spec
            && draining_since(datapath) == self.draining_since
            && awaited_since(datapath) == self.awaited_since
    }

    /// The body of a server-side apply: exactly the fields that the operator owns.
    pub fn to_apply(&self) -> Result<Value, serde_json::Error> {
        let mut metadata = json!({
            "name": self.node,
            "labels": { names::POLICY_LABEL: self.owner.name },
            "ownerReferences": [{
                "apiVersion": KubeProxyReplacement::api_version(&()),
                "kind": KubeProxyReplacement::kind(&()),
                "name": self.owner.name,
                "uid": self.owner.uid,
                "controller": true,
            }],
        });
        if let Some(since) = self.draining_since {
            metadata["annotations"][DRAINING_SINCE] = json!(since.to_string());
        }
        if let Some(memory) = &self.memory {
            metadata["annotations"][ROLLOUT] = json!(serde_json::to_string(memory)?);
        }
        if let Some(since) = self.awaited_since {
            metadata["annotations"][AWAITED_SINCE] = json!(since.to_string());
        }
        Ok(json!({
            "apiVersion": NodeDatapath::api_version(&()),
            "kind": NodeDatapath::kind(&()),
            "metadata": metadata,
            "spec": self.spec.serialize(serde_json::value::Serializer)?,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::fixtures::{at, datapath, policy};

    #[test]
    fn a_node_gets_the_resolved_configuration_of_its_policy() {
        let spec = active(&policy("default").generation(7).build());
        assert_eq!(
            (spec.policy.as_str(), spec.policy_generation, spec.phase),
            ("default", 7, Phase::Active)
        );
    }

    #[test]
    fn what_was_applied_is_recognised() {
        let policy = policy("default").build();
        let memory = Memory::first(at(5));
        let desired = Desired {
            node: "node-a".to_owned(),
            owner: Owner::new(&policy),
            spec: active(&policy),
            memory: Some(memory.clone()),
            draining_since: None,
            awaited_since: None,
        };
        let applied: NodeDatapath = serde_json::from_value(desired.to_apply().expect("JSON")).expect("object");
        assert!(desired.is_in(&applied));
        assert_eq!(Memory::of(&applied), Some(memory));
        assert!(!draining(&policy, &applied, at(5)).is_in(&applied));
    }

    #[test]
    fn draining_keeps_the_configuration_and_its_first_time() {
        let changed = policy("default").generation(9).build();
        let drained = datapath("node-a", &policy("default").generation(3).build())
            .draining_since(at(100))
            .build();
        let desired = draining(&changed, &drained, at(500));
        assert_eq!(desired.spec.policy_generation, 3);
        assert_eq!(desired.draining_since, Some(at(100)));
        assert!(desired.is_in(&drained));
    }
}
