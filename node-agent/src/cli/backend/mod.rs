//! `kpr backend`: the endpoints that frontends lead to, read from the pinned maps.

mod row;

use std::{collections::HashMap, io::Write, path::Path};

use anyhow::Context;
use clap::Subcommand;
use kpr_abi::{V4, V6};

pub(super) use row::Row;

use super::{Exit, Output, absent, args::Place, output::Format, service};
use crate::datapath::{MapFamily, dump};

/// What about them.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List every backend, as programmed.
    ///
    /// Reads the pinned maps, and works while the agent is down. A backend that no frontend leads to has flows that go on, or is about to
    /// be forgotten. Connections are counted where backends are chosen by them (loadBalancer.algorithm: LeastConnections).
    List(Format),
}

/// Carries out a command.
pub(super) fn run(place: &Place, command: &Command, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let Command::List(Format { output }) = command;
    let entries = service::read(&place.bpffs_root)?;
    let rows = read(&place.bpffs_root, &entries)?;
    output.print(out, &rows, || row::render(&rows, *output == Output::Wide))?;
    Ok(Exit::Ok)
}

/// Every backend, IPv4 before IPv6, each by its own ids. `entries`: all frontends.
pub(super) fn read(bpffs_root: &Path, entries: &[service::Entry]) -> anyhow::Result<Vec<Row>> {
    let mut users = HashMap::new();
    for entry in entries {
        for backend in &entry.backends {
            *users.entry((entry.family, backend.id)).or_default() += 1;
        }
    }
    let (v4, v6) = (family::<V4>(bpffs_root, &users)?, family::<V6>(bpffs_root, &users)?);
    Ok(Row::all([v4, v6].concat()))
}

/// How many frontends lead to each backend, by family and id.
type Users = HashMap<(&'static str, u32), u32>;

fn family<F: MapFamily>(bpffs_root: &Path, users: &Users) -> anyhow::Result<Vec<Row>> {
    let backends = dump::backends::<F>(bpffs_root).with_context(|| absent::unreadable(bpffs_root))?;
    let row = |backend| {
        let row = Row::new::<F>(&backend);
        let frontends = users.get(&(F::NAME, row.id)).copied().unwrap_or_default();
        Row { frontends, ..row }
    };
    Ok(backends.unwrap_or_default().into_iter().map(row).collect())
}
