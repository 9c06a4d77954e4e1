//! What is said of a packet or a call, for people and for programs.

use std::net::SocketAddr;

use kpr_abi::{Reason, backend, service};
use serde::Serialize;

use super::outcome::Outcome;
use crate::{
    cli::{
        names::{Name, Names},
        service::entry,
    },
    datapath::{Choice, Matched, Story},
    model::Protocol,
};

/// The answer: what happens, one step after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Answer {
    /// "TCP", "UDP" or "SCTP".
    pub protocol: String,
    /// Who asks, as it was named.
    pub from: String,
    /// Its address, where that is known; sockets have none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<SocketAddr>,
    /// What it asks for.
    pub to: SocketAddr,
    /// What was taken for granted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// What happens.
    pub steps: Vec<Step>,
}

/// One program that looks at it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Step {
    /// Where: "connect", "xdp", "ingress" or "pod-ingress".
    pub hook: &'static str,
    /// The device that a packet passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The frontend that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frontend: Option<Frontend>,
    /// The backends that might be chosen, under the policy that applies.
    pub candidates: Vec<Candidate>,
    /// The one that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chosen: Option<Chosen>,
    /// What is counted, by the names of `kpr_datapath_events_total`.
    pub reasons: Vec<&'static str>,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// A frontend.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Frontend {
    /// Address and port; the unspecified address stands for every address of the node.
    pub address: SocketAddr,
    /// Its id.
    pub id: u32,
    /// What kind it is.
    pub service_type: &'static str,
    /// `namespace/name:port`, if the agent was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Traffic from outside uses only backends on this node.
    pub external_traffic_policy_local: bool,
    /// Traffic from this node and its pods uses only backends on this node.
    pub internal_traffic_policy_local: bool,
    /// Clients stick to their backend for so many seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affinity_seconds: Option<u32>,
    /// Only clients of its source ranges are let in.
    pub source_ranges: bool,
}

/// A backend that might be chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Candidate {
    /// Its address.
    pub address: SocketAddr,
    /// Its id.
    pub id: u32,
    /// Whether it is on this node.
    pub local: bool,
    /// "active", "terminating" or "gone".
    pub state: &'static str,
    /// Connections from this node, where they are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connections: Option<u64>,
}

/// The backend that is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Chosen {
    /// Its address.
    pub address: SocketAddr,
    /// Its id.
    pub id: u32,
    /// "flow", "affinity", "only", "maglev", "leastConnections" or "chance".
    pub by: &'static str,
    /// Whether the next one like this gets the same, as long as nothing changes.
    pub certain: bool,
    /// For how many seconds the client has begun no connection, by affinity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_seconds: Option<u32>,
}

impl Step {
    /// Of what the programs told.
    pub(super) fn of(
        hook: &'static str,
        device: Option<String>,
        protocol: u8,
        story: &Story,
        names: &Names,
        outcome: Outcome,
    ) -> Self {
        Self {
            hook,
            device,
            frontend: story.frontend.map(|matched| Frontend::of(&matched, protocol, names)),
            candidates: story.candidates.iter().map(Candidate::of).collect(),
            chosen: chosen(story),
            reasons: story.reasons.iter().map(|reason: &Reason| reason.name()).collect(),
            outcome,
        }
    }
}

impl Frontend {
    fn of(matched: &Matched, protocol: u8, names: &Names) -> Self {
        let has = |flag| matched.flags & flag != 0;
        let name = names.of(matched.address, &Protocol::name_of(protocol));
        Self {
            address: matched.address,
            id: matched.id,
            service_type: entry::service_type(matched.flags),
            service: name.map(Name::shown),
            external_traffic_policy_local: has(service::flags::EXTERNAL_LOCAL),
            internal_traffic_policy_local: has(service::flags::INTERNAL_LOCAL),
            affinity_seconds: has(service::flags::AFFINITY).then_some(matched.affinity_seconds),
            source_ranges: has(service::flags::SOURCE_RANGES),
        }
    }
}

impl Candidate {
    fn of(candidate: &crate::datapath::Candidate) -> Self {
        Self {
            address: candidate.address,
            id: candidate.id,
            local: candidate.flags & backend::flags::LOCAL != 0,
            state: entry::state(candidate.flags),
            connections: candidate.connections,
        }
    }
}

fn chosen(story: &Story) -> Option<Chosen> {
    let choice = story.choice?;
    let event = &story.event;
    Some(Chosen {
        address: crate::events::socket(event.family, event.backend, event.backend_port),
        id: event.backend_id,
        by: match choice {
            Choice::Flow => "flow",
            Choice::Affinity { .. } => "affinity",
            Choice::Only => "only",
            Choice::Maglev => "maglev",
            Choice::FewerConnections => "leastConnections",
            Choice::Chance => "chance",
        },
        certain: choice.is_certain(),
        idle_seconds: match choice {
            Choice::Affinity { idle } => Some(idle),
            _ => None,
        },
    })
}
