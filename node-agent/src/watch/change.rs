//! What the watches tell, cut down to what is needed.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use k8s_openapi::api::core::v1::{Node, Pod};
use kpr_crds::{NodeDatapathSpec, NodeDatapathStatus};
use kube::ResourceExt;

use super::{
    gate::Kind,
    list::{Listed, Named},
    own::Own,
    trimmed::Trimmed,
};
use crate::model::{
    NamespacedName,
    input::{InputError, PodInput, ServiceInput, SliceInput, name_of},
};

/// Label of a Node: the zone that it is in.
const ZONE: &str = "topology.kubernetes.io/zone";

/// One change of what the API server says.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// These are all Services; others are gone.
    Services(Vec<ServiceInput>),
    /// A Service is new or changed.
    Service(Box<ServiceInput>),
    /// A Service is gone, or no longer ours.
    ServiceGone(NamespacedName),
    /// These are all EndpointSlices; others are gone.
    Slices(Vec<SliceInput>),
    /// An EndpointSlice is new or changed.
    Slice(Box<SliceInput>),
    /// An EndpointSlice is gone, or no longer ours.
    SliceGone(NamespacedName),
    /// These are all Pods of this node; others are gone.
    Pods(Vec<PodInput>),
    /// A Pod of this node is new or changed.
    Pod(Box<PodInput>),
    /// A Pod of this node is gone.
    PodGone(NamespacedName),
    /// Services, EndpointSlices and this node's Pods have all been read in full since the start. Sent once, after all.
    Synced,
    /// The own Node object; none while there is none.
    Node(Option<NodeInput>),
    /// The own NodeDatapath; none while there is none.
    Datapath(Option<Box<DatapathObject>>),
    /// The nodes that take encapsulated packets (DSR); not known any more, if nobody asks.
    DsrTakers(Option<Arc<BTreeSet<Arc<str>>>>),
}

/// What is needed of the own Node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeInput {
    /// Addresses of type `InternalIP`, in their order.
    pub internal_ips: Vec<IpAddr>,
    /// Label `topology.kubernetes.io/zone`.
    pub zone: Option<Arc<str>>,
    /// It has a `metadata.deletionTimestamp`.
    pub deleting: bool,
    /// Keys of its taints.
    pub taints: Vec<Arc<str>>,
}

/// What is needed of the own NodeDatapath.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatapathObject {
    /// `metadata.generation`.
    pub generation: i64,
    /// What to do.
    pub spec: NodeDatapathSpec,
    /// Fields of the spec that this version of the agent does not know.
    pub unknown_fields: Vec<String>,
    /// What this node's agent last wrote, perhaps before it was restarted.
    pub status: NodeDatapathStatus,
}

impl Listed for Trimmed<ServiceInput> {
    type Input = ServiceInput;
    const KIND: Kind = Kind::Services;

    fn input(self) -> Result<ServiceInput, InputError> {
        self.input
    }

    fn name(self) -> Result<NamespacedName, InputError> {
        self.input.map(|input| input.name().clone())
    }

    fn all(inputs: Vec<ServiceInput>) -> Change {
        Change::Services(inputs)
    }

    fn one(input: ServiceInput) -> Change {
        Change::Service(Box::new(input))
    }

    fn gone(name: NamespacedName) -> Change {
        Change::ServiceGone(name)
    }
}

impl Listed for Trimmed<SliceInput> {
    type Input = SliceInput;
    const KIND: Kind = Kind::Slices;

    fn input(self) -> Result<SliceInput, InputError> {
        self.input
    }

    fn name(self) -> Result<NamespacedName, InputError> {
        self.input.map(|input| input.name().clone())
    }

    fn all(inputs: Vec<SliceInput>) -> Change {
        Change::Slices(inputs)
    }

    fn one(input: SliceInput) -> Change {
        Change::Slice(Box::new(input))
    }

    fn gone(name: NamespacedName) -> Change {
        Change::SliceGone(name)
    }
}

impl Listed for Pod {
    type Input = PodInput;
    const KIND: Kind = Kind::Pods;

    fn input(self) -> Result<PodInput, InputError> {
        PodInput::parse(&self)
    }

    fn name(self) -> Result<NamespacedName, InputError> {
        name_of(&self.metadata)
    }

    fn all(inputs: Vec<PodInput>) -> Change {
        Change::Pods(inputs)
    }

    fn one(input: PodInput) -> Change {
        Change::Pod(Box::new(input))
    }

    fn gone(name: NamespacedName) -> Change {
        Change::PodGone(name)
    }
}

impl Named for Node {
    fn change(found: Option<Self>) -> Change {
        Change::Node(found.map(|node| {
            NodeInput {
                zone: node.labels().get(ZONE).map(|zone| zone.as_str().into()),
                deleting: node.metadata.deletion_timestamp.is_some(),
                taints: node
                    .spec
                    .and_then(|spec| spec.taints)
                    .unwrap_or_default()
                    .into_iter()
                    .map(|taint| taint.key.into())
                    .collect(),
                internal_ips: node
                    .status
                    .and_then(|status| status.addresses)
                    .unwrap_or_default()
                    .into_iter()
                    .filter(|address| address.type_ == "InternalIP")
                    .filter_map(|address| address.address.parse().ok())
                    .collect(),
            }
        }))
    }
}

impl Named for Own {
    fn change(found: Option<Self>) -> Change {
        Change::Datapath(found.map(|Self { object, unknown }| {
            Box::new(DatapathObject {
                generation: object.metadata.generation.unwrap_or_default(),
                spec: object.spec,
                unknown_fields: unknown,
                status: object.status.unwrap_or_default(),
            })
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_cut_down_to_what_is_needed() {
        let node = serde_json::from_value(serde_json::json!({
            "metadata": {
                "name": "node-a",
                "labels": {"topology.kubernetes.io/zone": "zone-a"},
                "deletionTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoExecute"}]},
            "status": {"addresses": [
                {"type": "Hostname", "address": "node-a"},
                {"type": "InternalIP", "address": "192.168.49.2"},
            ]},
        }));
        let expected = NodeInput {
            internal_ips: vec![[192, 168, 49, 2].into()],
            zone: Some("zone-a".into()),
            deleting: true,
            taints: vec!["a".into(), "b".into()],
        };
        assert_eq!(Node::change(Some(node.unwrap())), Change::Node(Some(expected)));
        assert_eq!(
            Node::change(Some(Node::default())),
            Change::Node(Some(NodeInput::default()))
        );
    }
}
