//! `kpr diff`: kpr's maps, compared with what somebody else has programmed.
//!
//! ```text
//! rules (iptables, nftables, ipvs) ┐
//!                                  ├ frontends -> difference -> report
//! kpr's pinned maps                ┘
//! ```
//!
//! All but [`source`] is pure.

mod difference;
mod frontend;
mod maps;
mod report;
mod rules;
mod source;

use std::{io::Write, path::Path};

use anyhow::Context as _;
use clap::Subcommand;

use super::{Exit, Output, absent, args::Place, names::Names, output::Format};
use crate::datapath::dump;
use frontend::Frontends;
use report::Report;
use source::{Rules, Saved};

/// With whom.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Every frontend and backend in which kube-proxy's rules on this node differ from kpr's maps.
    ///
    /// The proof before kube-proxy is switched off: while both run, the same must be there. Compares ClusterIPs, NodePorts, external IPs
    /// and load balancers' addresses of both families: their backends, by traffic policy, and session affinity, source ranges, and what
    /// clients get where there is no backend. Reads the rules of the iptables, nftables or ipvs mode, and the pinned maps, so it works
    /// while the agent is down.
    ///
    /// Exits with 6 if anything differs, with 5 if kube-proxy has no rules here. Rules and maps change while Services do: what differs
    /// then is gone in the next answer.
    KubeProxy(KubeProxy),
}

/// How.
#[derive(Clone, Debug, clap::Args)]
pub struct KubeProxy {
    #[command(flatten)]
    saved: Saved,
    #[command(flatten)]
    format: Format,
}

/// Carries out the command.
pub(super) async fn run(place: &Place, command: &Command, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let Command::KubeProxy(KubeProxy { saved, format }) = command;
    let Some(rules) = Rules::read(saved)? else {
        anstream::eprintln!(
            "kpr: kube-proxy has no rules on this node (--iptables, --nft and --ipvs take those that were saved)"
        );
        return Ok(Exit::NotFound);
    };
    let (mut kpr, host_ports) = of_maps(&place.bpffs_root)?;
    name(&mut kpr, place).await;
    let report = Report::new(rules.kinds, &rules.frontends, &kpr, host_ports);
    let is_wide = format.output == Output::Wide;
    format.output.print(out, &report, || report.page(is_wide))?;
    Ok(if report.differences.is_empty() {
        Exit::Ok
    } else {
        Exit::Different
    })
}

/// The frontends that kpr has programmed, and how many hostPorts there are beside them.
fn of_maps(bpffs_root: &Path) -> anyhow::Result<(Frontends, usize)> {
    let unreadable = || absent::unreadable(bpffs_root);
    let v4 = dump::services4(bpffs_root).with_context(unreadable)?;
    let v6 = dump::services6(bpffs_root).with_context(unreadable)?;
    if v4.is_none() && v6.is_none() {
        return Err(absent::error(bpffs_root));
    }
    let mut frontends = Frontends::new();
    let v4 = v4.map(|contents| maps::add_to(&contents, &mut frontends));
    let v6 = v6.map(|contents| maps::add_to(&contents, &mut frontends));
    Ok((frontends, v4.unwrap_or_default() + v6.unwrap_or_default()))
}

/// Enters what the agent calls them, if it can be asked: kube-proxy's rules name those that it has.
async fn name(frontends: &mut Frontends, place: &Place) {
    let names = Names::ask(place).await.unwrap_or_default();
    for (key, frontend) in frontends {
        if let Some(name) = names.of(key.address, &key.protocol.to_string()) {
            let colon = if name.port.is_empty() { "" } else { ":" };
            frontend.name = Some(format!("{}{colon}{}", name.service, name.port));
        }
    }
}
