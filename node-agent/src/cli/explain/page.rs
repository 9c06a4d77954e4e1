//! The answer for people.

use std::fmt::{self, Write};

use super::{
    answer::{Answer, Candidate, Chosen, Frontend, Step},
    outcome::{Kind, Outcome},
};
use crate::cli::{
    age::span,
    service::entry::ACTIVE,
    style::{bad, notable},
};

/// Width of the first column.
const LABEL: usize = 12;
/// More candidates than these are counted.
const SHOWN: usize = 10;

/// The page.
pub(super) fn render(answer: &Answer) -> String {
    let mut page = String::new();
    // Writing to a string can't fail.
    let _ = write_page(&mut page, answer);
    page
}

fn write_page(page: &mut String, answer: &Answer) -> fmt::Result {
    writeln!(page, "{} {} -> {}", answer.protocol, answer.from, answer.to)?;
    for note in &answer.notes {
        writeln!(page, "{}", notable(&format!("note: {note}")))?;
    }
    for step in &answer.steps {
        writeln!(page, "{}", place(step))?;
        for (label, text) in lines(step, &answer.protocol) {
            writeln!(page, "  {label:<LABEL$}{text}")?;
        }
    }
    Ok(())
}

fn place(step: &Step) -> String {
    let device = step.device.as_deref().unwrap_or("?");
    match step.hook {
        "xdp" => format!("arrives at {device} (XDP)"),
        "ingress" => format!("arrives at {device} (tc ingress)"),
        "pod-ingress" => format!("comes in by the pod's device {device} (tc ingress)"),
        hook => format!("calls {hook}()"),
    }
}

fn lines(step: &Step, protocol: &str) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(found) = &step.frontend {
        lines.push(("frontend", frontend(found, protocol)));
        lines.push(("policy", policy(step.hook, found)));
    }
    if !step.candidates.is_empty() {
        lines.push(("candidates", candidates(&step.candidates)));
    }
    if let Some(found) = &step.chosen {
        lines.push(("chosen", chosen(found)));
    }
    lines.push((step.outcome.verdict.label(), outcome(&step.outcome)));
    if !step.reasons.is_empty() {
        lines.push(("counted", step.reasons.join(", ")));
    }
    lines
}

fn frontend(found: &Frontend, protocol: &str) -> String {
    let service = found
        .service
        .as_ref()
        .map(|name| format!(" of {name}"))
        .unwrap_or_default();
    format!("{}/{protocol}, {}{service}", found.address, found.service_type)
}

fn policy(hook: &str, found: &Frontend) -> String {
    let name = |is_local| if is_local { "Local" } else { "Cluster" };
    let mut parts = Vec::new();
    if found.service_type == "ClusterIP" {
        let policy = name(found.internal_traffic_policy_local);
        parts.push(format!("internal traffic policy {policy}"));
    } else {
        let policy = name(found.external_traffic_policy_local);
        let does_not_apply = found.external_traffic_policy_local && hook != "ingress";
        let for_whom = if does_not_apply {
            ", which is for clients outside"
        } else {
            ""
        };
        parts.push(format!("external traffic policy {policy}{for_whom}"));
    }
    parts.push(match found.affinity_seconds {
        Some(seconds) => format!(
            "session affinity for {}",
            span(jiff::SignedDuration::from_secs(seconds.into()))
        ),
        None => "no session affinity".to_owned(),
    });
    if found.source_ranges {
        parts.push("only for its source ranges".to_owned());
    }
    parts.join("; ")
}

fn candidates(all: &[Candidate]) -> String {
    let mut shown: Vec<_> = all.iter().take(SHOWN).map(candidate).collect();
    if all.len() > SHOWN {
        shown.push("…".to_owned());
    }
    format!("{}: {}", all.len(), shown.join(", "))
}

fn candidate(one: &Candidate) -> String {
    let connections = one.connections.map(|count| format!("{count} connections"));
    let marks: Vec<String> = [one.local.then(|| "this node".to_owned())]
        .into_iter()
        .chain([(one.state != ACTIVE).then(|| one.state.to_owned()), connections])
        .flatten()
        .collect();
    if marks.is_empty() {
        one.address.to_string()
    } else {
        format!("{} ({})", one.address, marks.join(", "))
    }
}

fn chosen(found: &Chosen) -> String {
    let why = match found.by {
        "flow" => "of a flow that is known: it keeps its backend".to_owned(),
        "affinity" => format!(
            "by session affinity: the client had it last, {} ago",
            span(jiff::SignedDuration::from_secs(
                found.idle_seconds.unwrap_or_default().into()
            ))
        ),
        "only" => "there is no other".to_owned(),
        "maglev" => "by Maglev: the client's address and port lead there on every node".to_owned(),
        "leastConnections" => "the one of two with fewer connections: the next may get another".to_owned(),
        _ => "by chance: the next may get another".to_owned(),
    };
    format!("{}, {why}", found.address)
}

fn outcome(end: &Outcome) -> String {
    let mut parts = Vec::new();
    if let Some(device) = &end.device {
        parts.push(format!("by {device}"));
    }
    if let Some(packet) = &end.packet
        && end.verdict != Kind::Refused
    {
        parts.push(format!("as {} -> {}", packet.from, packet.to));
    }
    let message = match end.verdict {
        Kind::Dropped | Kind::Denied | Kind::Refused => bad(&end.message),
        _ => end.message.clone(),
    };
    if parts.is_empty() {
        message
    } else {
        format!("{}, {message}", parts.join(" "))
    }
}
