//! `kpr service`: the frontends that this node serves, read from the pinned maps.

pub(super) mod entry;
mod get;
mod list;
mod target;

use std::{io::Write, path::Path};

use anyhow::Context;
use clap::Subcommand;

pub(super) use entry::Entry;
use target::Target;

use super::{Exit, Output, absent, args::Place, backend, names::Names, output::Format};
use crate::{
    datapath::{dump, service_counts},
    model::Protocol,
};

/// What about them.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List every frontend with its backends, as programmed.
    ///
    /// Reads the pinned maps, so it shows what packets meet, and works while the agent is down. Names of Services (`-o wide`, and for
    /// programs) are told by the agent.
    List(Format),
    /// Show everything about the frontends of one Service.
    ///
    /// By its name, which asks the agent; or one frontend by id or address, which needs no agent. A NodePort has the address 0.0.0.0,
    /// or [::]. Exits with 5 if there is none on this node.
    Get(GetArgs),
}

/// Which Service.
#[derive(Clone, Debug, clap::Args)]
pub struct GetArgs {
    /// Name of the Service, or id or address of a frontend
    #[arg(value_name = "NAMESPACE/NAME|ID|ADDR:PORT[/PROTO]")]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// Carries out a command.
pub(super) async fn run(place: &Place, command: &Command, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match command {
        Command::List(Format { output }) => {
            let mut entries = read(&place.bpffs_root)?;
            if *output != Output::Text {
                name(&mut entries, &Names::ask_or_tell(place).await);
            }
            if matches!(output, Output::Json | Output::Yaml) {
                count(&mut entries, &place.bpffs_root)?;
            }
            let is_wide = *output == Output::Wide;
            output.print(out, &entries, || list::render(&entries, is_wide))?;
            Ok(Exit::Ok)
        }
        Command::Get(args) => get(place, args, out).await,
    }
}

async fn get(place: &Place, args: &GetArgs, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut entries = read(&place.bpffs_root)?;
    count(&mut entries, &place.bpffs_root)?;
    let names = match (&args.target, Names::ask(place).await) {
        (_, Ok(names)) => names,
        (Target::Name(_), Err(error)) if error.is_unreachable() => {
            anstream::eprintln!(
                "kpr: maps hold no names of Services, and {error}; ask for a frontend by its address or id, which works \
                 without the agent (kpr service list)"
            );
            return Ok(Exit::AgentUnreachable);
        }
        (Target::Name(_), Err(error)) => return Err(error.into()),
        (_, Err(_)) => Names::default(),
    };
    name(&mut entries, &names);
    let found: Vec<_> = entries.iter().filter(|entry| args.target.matches(entry)).collect();
    if found.is_empty() {
        anstream::eprintln!("kpr: no such frontend on this node (kpr service list shows all)");
        return Ok(Exit::NotFound);
    }
    let backends = backend::read(&place.bpffs_root, &entries)?;
    args.format
        .output
        .print(out, &found, || get::render(&found, &backends))?;
    Ok(Exit::Ok)
}

/// Every programmed frontend: IPv4 before IPv6, each by its own ids.
pub(super) fn read(bpffs_root: &Path) -> anyhow::Result<Vec<Entry>> {
    let unreadable = || absent::unreadable(bpffs_root);
    let v4 = dump::services4(bpffs_root).with_context(unreadable)?;
    let v6 = dump::services6(bpffs_root).with_context(unreadable)?;
    if v4.is_none() && v6.is_none() {
        return Err(absent::error(bpffs_root));
    }
    let v4 = v4.as_ref().map(entry::entries).unwrap_or_default();
    let v6 = v6.as_ref().map(entry::entries).unwrap_or_default();
    Ok([v4, v6].concat())
}

/// Enters what was counted of frontends.
fn count(entries: &mut [Entry], bpffs_root: &Path) -> anyhow::Result<()> {
    let counts = service_counts(bpffs_root).with_context(|| absent::unreadable(bpffs_root))?;
    for entry in entries {
        let protocol = Protocol::parse(Some(&entry.protocol));
        let count = protocol.and_then(|protocol| counts.get(&(entry.frontend, protocol)));
        entry.counted = count.copied().map(Into::into);
    }
    Ok(())
}

/// Enters what frontends are called.
pub(super) fn name(entries: &mut [Entry], names: &Names) {
    for entry in entries {
        if let Some(name) = names.of(entry.frontend, &entry.protocol) {
            entry.service = Some(name.service.clone());
            entry.port_name = Some(name.port.clone()).filter(|port| !port.is_empty());
        }
    }
}
