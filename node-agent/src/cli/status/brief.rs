//! The page of `kpr status`: the lines that `cilium status` begins with.

use std::fmt::Write;

use crate::{
    cli::{
        age::{ago, span},
        style::{bad, notable},
    },
    observe::api::{Cluster, Device, Kubernetes, Phase, Status},
};

/// Width of the first column, that of the reference.
const LABEL: usize = 24;

/// One line for each part of the system.
pub(super) fn render(status: &Status) -> String {
    head(status) + &status.cluster.as_ref().map_or_else(String::new, cluster)
}

/// The lines about this node.
pub(super) fn head(status: &Status) -> String {
    [
        line("Kubernetes", &kubernetes(status)),
        line("Kubernetes APIs", &format!("{:?}", status.kubernetes.apis)),
        line("KubeProxyReplacement", &replacement(status)),
        line("kpr", &agent(status)),
        line("Services", &services(status)),
        line("Controller Status", &controllers(status)),
    ]
    .concat()
}

/// The line about others: `2/2 reachable   (2026-01-02T03:04:00Z)`, as the reference has it.
pub(super) fn cluster(cluster: &Cluster) -> String {
    let reachable = cluster.nodes.iter().filter(|node| node.reachable).count();
    let all = cluster.nodes.len();
    let count = format!("{reachable}/{all} reachable");
    let count = if reachable == all { count } else { bad(&count) };
    let others = u32::try_from(all).map_or(0, |all| cluster.known.saturating_sub(all));
    let others = match others {
        0 => String::new(),
        others => format!("; {others} more are asked by other nodes"),
    };
    line("Cluster health", &format!("{count}   ({:.0}){others}", cluster.at))
}

fn line(label: &str, text: &str) -> String {
    format!("{:<LABEL$}{}\n", format!("{label}:"), coloured(text.trim_end()))
}

/// With a colour for what does not go well: the first word says it.
fn coloured(text: &str) -> String {
    let (word, rest) = text.split_at(text.find(' ').unwrap_or(text.len()));
    match word {
        "Away" | "Degraded" | "Failing" => bad(word) + rest,
        "Starting" | "Syncing" | "Waiting" => notable(word) + rest,
        _ => text.to_owned(),
    }
}

fn kubernetes(status: &Status) -> String {
    let Kubernetes {
        server,
        reachable,
        version,
        platform,
        since,
        message,
        apis: _,
    } = &status.kubernetes;
    if *reachable {
        let version = version.as_deref().unwrap_or("unknown version");
        // "1.36 (v1.36.2)", as the reference has it.
        let short = version
            .trim_start_matches('v')
            .splitn(3, '.')
            .take(2)
            .collect::<Vec<_>>()
            .join(".");
        let platform = platform.as_deref().unwrap_or("unknown platform");
        format!("Ok   {short} ({version}) [{platform}]")
    } else {
        let since = since.map_or_else(String::new, |since| {
            format!(" since {}", span(status.now.duration_since(since)))
        });
        let why = message.as_deref().unwrap_or("no answer yet");
        format!("Away   {server}{since}: {why}")
    }
}

fn replacement(status: &Status) -> String {
    let mode = status.policy.as_ref().map_or("Disabled", |policy| &policy.mode);
    match status.phase {
        Phase::Waiting if !status.kubernetes.reachable => {
            "Waiting   for the API server; a datapath that is pinned goes on (kpr service list)".to_owned()
        }
        Phase::Waiting => format!(
            "Waiting   the operator has not written NodeDatapath {:?} yet",
            status.node
        ),
        Phase::Failed => format!("{mode}   not loaded"),
        Phase::Draining => format!("{mode}   being removed"),
        Phase::Removed => "Disabled   removed from this node".to_owned(),
        Phase::Syncing | Phase::Active => format!("{mode}   [{}]", devices(&status.devices)),
    }
}

/// `eth0 192.168.49.2 (Direct Routing), eth1 172.16.0.29`
pub(super) fn devices(devices: &[Device]) -> String {
    let one = |device: &Device| {
        let mut text = device.name.clone();
        for address in &device.addresses {
            let _ = write!(text, " {address}");
        }
        if device.direct_routing {
            text.push_str(" (Direct Routing)");
        }
        text
    };
    devices.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn agent(status: &Status) -> String {
    let word = match (&status.message, status.phase) {
        (Some(_), _) => "Degraded",
        (None, Phase::Active | Phase::Waiting | Phase::Removed) => "Ok",
        (None, _) => "Starting",
    };
    let started = ago(Some(status.started), status.now);
    let trouble = status
        .message
        .as_ref()
        .map_or_else(String::new, |message| format!(": {message}"));
    format!("{word}   {} (started {started}){trouble}", status.agent_version)
}

fn services(status: &Status) -> String {
    let s = &status.services;
    let word = match (s.synced, s.pending) {
        (false, _) => "Syncing",
        (true, 0) => "Ok",
        (true, _) => "Failing",
    };
    let pending = match s.pending {
        0 => String::new(),
        n => format!(", {n} services wait to be tried again"),
    };
    format!(
        "{word}   {} services, {} frontends, {} backends programmed{pending}",
        s.services, s.frontends, s.backends
    )
}

fn controllers(status: &Status) -> String {
    let healthy = status.tasks.iter().filter(|task| task.healthy()).count();
    let all = status.tasks.len();
    let count = format!("{healthy}/{all}");
    let count = if healthy == all { count } else { bad(&count) };
    format!("{count} healthy")
}
