//! Events as they are shown.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use jiff::Timestamp;
use kpr_abi::{
    Addr4, Addr6, Be16, Event, Reason,
    event::{hook, step},
};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use super::Names;
use crate::{devices::device_name, model::Protocol};

/// A line of what a listener is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum Line {
    /// From here on, everything is told.
    Listening,
    /// Something happened.
    Event(Box<Told>),
    /// Events of which nothing is known but their number, since the last such line.
    #[serde(rename_all = "camelCase")]
    Lost {
        /// The programs found no room for them.
        datapath: u64,
        /// They came faster than this listener read.
        listener: u64,
    },
    /// Nothing happened for a while.
    Alive,
    /// Nothing can be told.
    Failed {
        /// Why.
        message: String,
    },
}

/// Something that happened to a packet or a socket call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Told {
    /// When.
    pub time: Timestamp,
    /// Where: "ingress", "pod-ingress", "egress", "xdp", "connect", "sendmsg" or "bind".
    pub hook: String,
    /// What: a name of [`Reason`].
    pub reason: String,
    /// The device that a packet came in by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The device that it leaves by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out: Option<String>,
    /// "TCP", "UDP" or "SCTP".
    pub protocol: String,
    /// Who asks; sockets have no address yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<SocketAddr>,
    /// What it asks for.
    pub frontend: SocketAddr,
    /// The Service's port that this is, `namespace/name:port`, as far as the agent knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Whom it gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<SocketAddr>,
    /// Under which address the backend sees it, if that is not the client's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SocketAddr>,
    /// Whose socket it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<Process>,
    /// One in so many is told.
    pub sample: u32,
}

/// A process that calls.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Name of the thread.
    pub name: String,
    /// Its cgroup: the inode of the directory.
    pub cgroup: u64,
}

impl Told {
    /// As it is shown.
    pub fn of(event: &Event, names: &Names) -> Self {
        let socket = |words, port| socket(event.family, words, port);
        let client = (event.client_port.0 != 0).then(|| socket(event.client, event.client_port));
        let source = (event.source_port.0 != 0).then(|| socket(event.source, event.source_port));
        let is_call = matches!(event.hook, hook::CONNECT | hook::SENDMSG | hook::BIND);
        let name = String::from_utf8_lossy(&event.process);
        Self {
            time: moment(event.time),
            hook: hook_name(event.hook).to_owned(),
            reason: reason(event).map_or("unknown", Reason::name).to_owned(),
            device: device(event.device),
            out: device(event.out),
            protocol: Protocol::name_of(event.proto),
            client,
            frontend: socket(event.frontend, event.frontend_port),
            service: names.of(event).map(str::to_owned),
            backend: (event.backend_id != 0).then(|| socket(event.backend, event.backend_port)),
            source: source.filter(|source| Some(*source) != client && event.steps & step::REPLY == 0),
            process: is_call.then(|| Process {
                pid: event.pid,
                name: name.trim_end_matches('\0').to_owned(),
                cgroup: event.cgroup,
            }),
            sample: event.sample,
        }
    }
}

/// What happened, if this agent knows it.
pub(super) fn reason(event: &Event) -> Option<Reason> {
    Reason::ALL.get(event.what as usize).copied()
}

/// An address of the family, as it stands in an event.
pub(crate) fn address(family: u8, words: [u32; 4]) -> IpAddr {
    if family == 4 {
        Ipv4Addr::from(Addr4(words[0])).into()
    } else {
        Ipv6Addr::from(Addr6(words)).into()
    }
}

/// The same with a port.
pub(crate) fn socket(family: u8, words: [u32; 4], port: Be16) -> SocketAddr {
    SocketAddr::new(address(family, words), port.host())
}

fn hook_name(hook: u8) -> &'static str {
    match hook {
        hook::INGRESS => "ingress",
        hook::POD_INGRESS => "pod-ingress",
        hook::EGRESS => "egress",
        hook::XDP => "xdp",
        hook::CONNECT => "connect",
        hook::SENDMSG => "sendmsg",
        hook::BIND => "bind",
        _ => "unknown",
    }
}

/// Name of a device; its number, if it is gone.
pub(crate) fn device(ifindex: u32) -> Option<String> {
    (ifindex != 0).then(|| device_name(ifindex))
}

/// The wall clock's time of a moment of `CLOCK_MONOTONIC`.
fn moment(monotonic: u64) -> Timestamp {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    let ago = now.saturating_sub(Duration::from_nanos(monotonic));
    Timestamp::now().checked_sub(ago).unwrap_or_default()
}
