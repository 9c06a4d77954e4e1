//! `kpr affinity`: which clients stick to which backend, read from the pinned maps.

mod row;

use std::{collections::HashMap, io::Write};

use anyhow::Context;
use clap::Subcommand;
use kpr_abi::{V4, V6};

use self::row::{Row, cells, table};
use super::{
    Exit, Output, absent,
    args::Place,
    names::Names,
    output::{Format, Items},
    service,
};
use crate::datapath::{MapFamily, dump, flow_clock};

/// What about them.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List the clients that session affinity holds to a backend.
    ///
    /// Reads the pinned maps, and works while the agent is down; names of Services are told by the agent. Clients whose time is over are
    /// left out. A backend that its Service no longer has is "gone": the client's next connection gets another one.
    List(Format),
}

/// Carries out a command.
pub(super) async fn run(place: &Place, command: &Command, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let Command::List(Format { output }) = command;
    let mut entries = service::read(&place.bpffs_root)?;
    service::name(&mut entries, &Names::ask_or_tell(place).await);
    if output.is_text() {
        let mut table = table();
        family::<V4>(place, &entries, |rows| {
            rows.iter()
                .for_each(|row| table.row(cells(row, *output == Output::Wide)));
            Ok(table.print_part(out)?)
        })?;
        family::<V6>(place, &entries, |rows| {
            rows.iter()
                .for_each(|row| table.row(cells(row, *output == Output::Wide)));
            Ok(table.print_part(out)?)
        })?;
        table.print_part(out)?;
    } else {
        let mut items = Items::new(*output, out);
        family::<V4>(place, &entries, |rows| rows.iter().try_for_each(|row| items.item(row)))?;
        family::<V6>(place, &entries, |rows| rows.iter().try_for_each(|row| items.item(row)))?;
        items.end()?;
    }
    Ok(Exit::Ok)
}

/// Hands out the clients of a family, some thousand at a time.
fn family<F: MapFamily>(
    place: &Place,
    entries: &[service::Entry],
    mut part: impl FnMut(&[Row]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let (now, own) = (flow_clock(), dump::own_netns());
    let mut by_group = HashMap::<u32, Vec<&service::Entry>>::new();
    for entry in entries.iter().filter(|entry| entry.family == F::NAME) {
        by_group.entry(entry.affinity_group).or_default().push(entry);
    }
    dump::affinity::<F, _>(&place.bpffs_root, |clients| {
        let rows = clients.iter().filter_map(|client| {
            let frontends = by_group.get(&client.group)?;
            Row::new(F::NAME, client, frontends, now, own)
        });
        part(&rows.collect::<Vec<_>>())
    })
    .with_context(|| absent::unreadable(&place.bpffs_root))?;
    Ok(())
}
