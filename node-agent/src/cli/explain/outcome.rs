//! What becomes of a packet or a call, in one word and one sentence.

use std::net::SocketAddr;

use kpr_abi::{Reason, event::step, flow::action};
use serde::Serialize;

use crate::{
    datapath::{CallStory, PacketStory, Verdict},
    events::device,
};

/// How it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outcome {
    /// What becomes of it.
    pub verdict: Kind,
    /// How and why.
    pub message: String,
    /// Addresses and ports that a packet has then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packet: Option<Ends>,
    /// The device that it leaves by, or where a call leads to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
}

/// Where a packet comes from and goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Ends {
    pub from: SocketAddr,
    pub to: SocketAddr,
}

/// In one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Kind {
    /// A call is led to a backend.
    Connects,
    /// A call fails.
    Denied,
    /// A packet leaves the node by the program.
    Leaves,
    /// A packet is translated and goes on through this node's stack.
    Delivered,
    /// A packet is refused in the frontend's name.
    Refused,
    /// A packet goes nowhere.
    Dropped,
    /// Nothing is done with it here.
    Passes,
}

impl Kind {
    /// As it begins its line.
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Connects => "connects",
            Self::Denied => "denied",
            Self::Leaves => "leaves",
            Self::Delivered => "goes up",
            Self::Refused => "refused",
            Self::Dropped => "dropped",
            Self::Passes => "passes",
        }
    }
}

impl Outcome {
    /// Of a call.
    pub(super) fn of_call(call: &CallStory, to: SocketAddr) -> Self {
        let reason = call.story.reasons.last().copied();
        let (verdict, message) = match (call.led_to, reason) {
            (Some(led), Some(Reason::SocketTranslated)) => (
                Kind::Connects,
                format!(
                    "to {led}: its packets never carry {}, and go to the backend as the CNI routes them",
                    to.ip()
                ),
            ),
            (Some(_), _) => (
                Kind::Passes,
                "for no frontend that sockets are led from here: the call is left as it is".to_owned(),
            ),
            (None, reason) => (Kind::Denied, reason.map_or("", meaning).to_owned()),
        };
        Self {
            verdict,
            message,
            packet: None,
            device: None,
        }
    }

    /// Of a packet. `way`: the device by which the kernel routes it, if it goes on.
    pub(super) fn of_packet(packet: &PacketStory, way: Option<String>) -> Self {
        let event = &packet.story.event;
        let ends = packet.ends().map(|(from, to)| Ends { from, to });
        let before = packet.ends_before().map(|(from, to)| Ends { from, to });
        let reason = packet.story.reasons.last().copied();
        let is_changed = packet.trial.packet != packet.frame;
        let out = device(event.out);
        let (verdict, message, out) = match packet.trial.verdict {
            Verdict::Drop => (Kind::Dropped, reason.map_or("", meaning).to_owned(), None),
            Verdict::Redirect | Verdict::Transmit if event.action == action::TUNNEL => (
                Kind::Leaves,
                "encapsulated, with the packet as it came inside (DSR): the backend's node answers the client itself"
                    .to_owned(),
                out,
            ),
            Verdict::Redirect | Verdict::Transmit => {
                let is_translated = ends.map(|ends| ends.from) != before.map(|before| before.from);
                let port = |ends: Option<Ends>| ends.map(|ends| ends.from.port());
                let is_drawn = port(ends) != port(before) && event.steps & step::BEGAN != 0;
                let how = if is_translated && is_drawn {
                    "after SNAT, from a port that is drawn: the answer comes back here"
                } else if is_translated {
                    "after SNAT: the answer comes back here"
                } else {
                    "with the client's address"
                };
                (Kind::Leaves, how.to_owned(), out)
            }
            Verdict::Next if is_refused(&packet.story.reasons) && is_changed => {
                let why = packet.story.reasons.iter().find(|reason| is_refusal(**reason));
                (
                    Kind::Refused,
                    why.map_or("", |reason| meaning(*reason)).to_owned(),
                    None,
                )
            }
            Verdict::Next if is_changed => (
                Kind::Delivered,
                "through this node's stack (netfilter, routing, the CNI's own hooks)".to_owned(),
                way,
            ),
            Verdict::Next | Verdict::Other(_) => (Kind::Passes, passes(packet, reason), None),
        };
        Self {
            verdict,
            message,
            packet: is_changed.then_some(ends).flatten(),
            device: out,
        }
    }
}

fn is_refusal(reason: Reason) -> bool {
    matches!(reason, Reason::RefuseNoEndpoint | Reason::RefuseSnatExhausted)
}

fn is_refused(reasons: &[Reason]) -> bool {
    reasons.iter().any(|reason| is_refusal(*reason))
}

/// Why a packet is left as it is.
fn passes(packet: &PacketStory, reason: Option<Reason>) -> String {
    match reason {
        Some(reason) => meaning(reason).to_owned(),
        None if packet.story.event.action == action::YIELD && packet.story.event.backend_id != 0 => {
            "of a flow that netfilter translates: left to it".to_owned()
        }
        None => "for no frontend, and of no flow that is known: left as it is to the node's stack".to_owned(),
    }
}

/// What a reason says, in a sentence.
pub(super) const fn meaning(reason: Reason) -> &'static str {
    match reason {
        Reason::SocketTranslated => "led to a backend",
        Reason::SocketNoEndpoint => "the Service has no usable endpoint: the call fails with ECONNREFUSED",
        Reason::SocketNoLocalEndpoint => {
            "the traffic policy is Local, and no endpoint is on this node: the call fails with EHOSTUNREACH"
        }
        Reason::SocketSourceRange => {
            "the node's own address is in none of the frontend's source ranges: the call fails with EHOSTUNREACH"
        }
        Reason::SocketBindRefused => "a NodePort or a hostPort has this port",
        Reason::FlowToLocal => "a flow to a backend on this node begins",
        Reason::FlowToRemote => "a flow to a backend on another node begins",
        Reason::FlowToRemoteDsr => "a flow to a backend on another node begins, which answers the client itself",
        Reason::FlowFromDsr => "a flow from another node begins, to a backend on this one",
        Reason::DsrSentBack => "sent back to the node that encapsulated it",
        Reason::XdpForwarded => "sent on by XDP",
        Reason::RefuseNoEndpoint => {
            "the Service has no usable endpoint: the client gets a reset or an ICMP error, in the frontend's name"
        }
        Reason::RefuseSnatExhausted => "every source port of this node towards the backend is taken",
        Reason::DropNoLocalEndpoint => "the traffic policy is Local, and no endpoint is on this node",
        Reason::DropSourceRange => "the client is in none of the frontend's source ranges",
        Reason::DropNoRoute => "there is no route to the backend",
        Reason::DropTtl => "the packet has no hop left",
        Reason::DropTooBig => "too big to be encapsulated",
        Reason::DropDsrUnknown => "encapsulated, and nothing is known of its flow here",
        Reason::DropFragment => "a fragment, after those of too many other packets",
        Reason::DropSctpFragment => "a fragment of SCTP whose ports would change",
        Reason::DropFlowTableFull => "the flow table takes no new entry",
        Reason::DropHandOver => "its flow is being handed over to netfilter; the client sends it again",
        Reason::DropInconsistent => "the tables of slots and of backends disagree: a fault of kpr's",
        Reason::DropRewriteFailed => "the kernel refused to change the packet: a fault of kpr's",
        Reason::PassMidFlow => {
            "in the middle of a connection that is not balanced here: left to the node's stack, which knows it or resets it"
        }
        Reason::PassNoEndpoint => {
            "the NodePort has no usable endpoint: left to the node's stack, which refuses it, since nobody listens"
        }
    }
}
