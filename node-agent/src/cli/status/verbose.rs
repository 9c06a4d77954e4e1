//! The page of `kpr status --verbose`, section by section as `cilium status --verbose` has them.

use std::fmt::{self, Write};

use super::brief;
use crate::{
    cli::{age::ago, style::bad, table::Table},
    observe::api::{Cluster, Details, SnatUse, Status},
};

/// The brief page and all details.
pub(super) fn render(status: &Status) -> String {
    let mut page = brief::head(status);
    // Writing to a string can't fail.
    let _ = details(&mut page, status);
    page
}

fn details(page: &mut String, status: &Status) -> fmt::Result {
    controllers(page, status)?;
    if let Some(details) = &status.details {
        replacement(page, status, details)?;
    }
    if let Some(leftovers) = &status.leftovers {
        writeln!(page, "kube-proxy's leftovers:   {leftovers}")?;
    }
    problems(page, status)?;
    kernel(page, status)?;
    maps(page, status)?;
    flows(page, status)?;
    counters(page, status)?;
    status.cluster.as_ref().map_or(Ok(()), |found| cluster(page, found))
}

/// What agents of nodes say of themselves, asked from here.
fn cluster(page: &mut String, found: &Cluster) -> fmt::Result {
    page.push_str(&brief::cluster(found));
    let mut table = Table::new(["Name", "IP", "Node", "Services", "Round trip"]).indent(2);
    for node in &found.nodes {
        let name = if node.own {
            format!("{} (localhost)", node.name)
        } else {
            node.name.clone()
        };
        let (reachable, serves) = match (&node.message, node.serves) {
            (Some(message), _) => (bad(&format!("unreachable: {message}")), "unknown".to_owned()),
            (None, true) => ("reachable".to_owned(), "served".to_owned()),
            (None, false) => ("reachable".to_owned(), bad("not served")),
        };
        let took = node
            .took_us
            .map_or_else(|| "-".to_owned(), |us| format!("{}.{:03} ms", us / 1_000, us % 1_000));
        table.row([name, node.address.to_string(), reachable, serves, took]);
    }
    write!(page, "{table}")
}

fn controllers(page: &mut String, status: &Status) -> fmt::Result {
    let mut table = Table::new(["Name", "Last success", "Last error", "Count", "Message"]).indent(2);
    for task in &status.tasks {
        table.row([
            task.name.clone(),
            ago(task.last_success, status.now),
            ago(task.last_error, status.now),
            task.consecutive_failures.to_string(),
            if task.healthy() {
                task.message.clone()
            } else {
                bad(&task.message)
            },
        ]);
    }
    write!(page, "{table}")
}

fn replacement(page: &mut String, status: &Status, details: &Details) -> fmt::Result {
    let Details {
        protocols,
        ip_families,
        forwarding,
        dsr_dispatch,
        backend_selection,
        socket_lb,
        pod_devices,
        session_affinity,
        xdp_acceleration,
        services,
        map_sizing: _,
    } = details;
    let mode = status.policy.as_ref().map_or("Unknown", |policy| &policy.mode);
    writeln!(page, "KubeProxyReplacement Details:")?;
    let mut lines = vec![
        ("Status", mode.to_owned()),
        ("Socket LB", socket_lb.to_string()),
        ("Pod Devices", pod_devices.to_string()),
        ("Protocols", protocols.join(", ")),
        ("IP Families", ip_families.join(", ")),
        ("Devices", brief::devices(&status.devices)),
        ("Mode", forwarding.clone()),
    ];
    lines.extend(dsr_dispatch.clone().map(|dispatch| ("  DSR Dispatch Mode", dispatch)));
    lines.extend([
        ("Backend Selection", backend_selection.clone()),
        ("Session Affinity", session_affinity.to_string()),
        ("XDP Acceleration", xdp_acceleration.to_string()),
    ]);
    for (label, text) in lines {
        writeln!(page, "  {:<21}{text}", format!("{label}:"))?;
    }
    writeln!(page, "  Services:")?;
    for kind in services {
        writeln!(page, "  - {:<16}{}", format!("{}:", kind.name), kind.feature)?;
    }
    Ok(())
}

fn problems(page: &mut String, status: &Status) -> fmt::Result {
    if status.problems.is_empty() {
        return Ok(());
    }
    writeln!(page, "Services not served as written:   {}", status.services.problems)?;
    for problem in &status.problems {
        writeln!(page, "  - {problem}")?;
    }
    let shown = u32::try_from(status.problems.len()).unwrap_or(u32::MAX);
    match status.services.problems.saturating_sub(shown) {
        0 => Ok(()),
        others => writeln!(page, "  - and {others} more"),
    }
}

fn kernel(page: &mut String, status: &Status) -> fmt::Result {
    writeln!(page, "{:<24}{}", "Kernel:", status.kernel.release)?;
    for feature in &status.kernel.features {
        writeln!(page, "  {feature}")?;
    }
    if status.attachments.is_empty() {
        return Ok(());
    }
    let mut table = Table::new(["Program", "Hook", "Target"]).indent(2);
    for attachment in &status.attachments {
        table.row([
            attachment.program.clone(),
            attachment.hook.clone(),
            attachment.target.clone(),
        ]);
    }
    write!(page, "{table}")
}

fn maps(page: &mut String, status: &Status) -> fmt::Result {
    if status.maps.is_empty() {
        return Ok(());
    }
    let sizing = status.details.as_ref().map_or("unknown", |details| &details.map_sizing);
    writeln!(page, "BPF Maps:   dynamic sizing: {sizing}")?;
    let mut table = Table::new(["Name", "Size", "Used"]).indent(2);
    for map in &status.maps {
        let used = map.used.map_or_else(|| "unknown".to_owned(), |used| used.to_string());
        table.row([map.name.clone(), map.size.to_string(), used]);
    }
    write!(page, "{table}")?;
    writeln!(page, "  Map writes since the agent's start: {}", status.map_writes)?;
    match status.repairs {
        0 => Ok(()),
        repairs => writeln!(
            page,
            "  Repairs since the agent's start: {repairs} (somebody else changed the datapath: see the agent's log)"
        ),
    }
}

/// How the flow tables are kept from filling up.
fn flows(page: &mut String, status: &Status) -> fmt::Result {
    let Some(sweep) = &status.sweep else { return Ok(()) };
    writeln!(
        page,
        "Connection tracking:   swept {} in {} ms, every {} s now",
        ago(Some(sweep.at), status.now),
        sweep.took_ms,
        sweep.interval_seconds
    )?;
    let mut table = Table::new(["Family", "Live", "Expired", "Most SNAT ports in use"]).indent(2);
    for swept in &sweep.tables {
        let most = |fullest: &SnatUse| format!("{} towards {}", fullest.ports, fullest.backend);
        table.row([
            swept.family.clone(),
            swept.live.to_string(),
            swept.expired.to_string(),
            swept.fullest.as_ref().map_or_else(|| "none".to_owned(), most),
        ]);
    }
    write!(page, "{table}")
}

/// Only what happened: a healthy node has few lines here.
fn counters(page: &mut String, status: &Status) -> fmt::Result {
    let (drops, others): (Vec<_>, Vec<_>) = status
        .counters
        .iter()
        .filter(|counter| counter.count > 0)
        .partition(|counter| counter.reason.starts_with("drop_"));
    for (title, counters) in [("Drops", drops), ("Traffic", others)] {
        if counters.is_empty() {
            writeln!(page, "{title}:   none")?;
            continue;
        }
        writeln!(page, "{title}:")?;
        let mut table = Table::new(["Reason", "Count"]).indent(2);
        for counter in counters {
            table.row([counter.reason.clone(), counter.count.to_string()]);
        }
        write!(page, "{table}")?;
    }
    Ok(())
}
