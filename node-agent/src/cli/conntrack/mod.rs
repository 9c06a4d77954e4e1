//! `kpr conntrack`: the flows of the packet path, read from the pinned maps.

mod entry;
mod filter;

use std::io::Write;

use anyhow::Context;
use clap::Subcommand;
use kpr_abi::{V4, V6};
use serde::Serialize;

use super::{
    Exit, Output, absent,
    args::Place,
    output::{Format, Items},
    table::Table,
};
use crate::datapath::{Flow, FlowList, MapFamily, Path, flow_clock};
use entry::Entry;
use filter::Filter;

/// What about them.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// List flows as they are found.
    ///
    /// These are flows whose packets are translated one by one: from outside, and of pods whose sockets this node does not see. Sockets
    /// of this node and its pods are led to their backend once, when they connect, and have no flow here.
    List(ListArgs),
    /// Forget flows, both directions of each.
    ///
    /// Established connections through them break: their packets are then those of a connection that nobody knows. The next
    /// connection or datagram of the client is balanced anew. Flows that are being handed over to netfilter stay.
    Flush(FlushArgs),
}

/// Which to list.
#[derive(Clone, Debug, clap::Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter: Filter,
    /// Stop after so many
    #[arg(long, value_name = "NUMBER")]
    limit: Option<u64>,
    #[command(flatten)]
    format: Format,
}

/// Which to forget.
#[derive(Clone, Debug, clap::Args)]
pub struct FlushArgs {
    #[command(flatten)]
    filter: Filter,
    /// Forget every flow
    #[arg(long, required_unless_present = "Filter", conflicts_with = "Filter")]
    all: bool,
    #[command(flatten)]
    format: Format,
}

/// Carries out a command.
pub(super) fn run(place: &Place, command: &Command, out: &mut dyn Write) -> anyhow::Result<Exit> {
    match command {
        Command::List(args) => list(place, args, out)?,
        Command::Flush(args) => flush(place, args, out)?,
    }
    Ok(Exit::Ok)
}

fn list(place: &Place, args: &ListArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let (v4, v6) = (open::<V4>(place)?, open::<V6>(place)?);
    anyhow::ensure!(v4.is_some() || v6.is_some(), absent::error(&place.bpffs_root));
    let mut listing = Listing {
        filter: &args.filter,
        left: args.limit.unwrap_or(u64::MAX),
        now: flow_clock(),
        printed: Printed::new(args.format.output, out),
    };
    listing.add(v4.as_ref())?;
    listing.add(v6.as_ref())?;
    listing.printed.end()
}

/// A list that is being printed: no more than a part of the table is in memory.
struct Listing<'a> {
    filter: &'a Filter,
    left: u64,
    now: u32,
    printed: Printed<'a>,
}

impl Listing<'_> {
    fn add<F: MapFamily>(&mut self, flows: Option<&FlowList<F>>) -> anyhow::Result<()> {
        let Some(flows) = flows.filter(|_| self.filter.wants(F::NAME)) else {
            return Ok(());
        };
        let Self {
            filter, left, printed, ..
        } = self;
        flows.read(self.now, |part| {
            for flow in part.iter().filter(|flow| filter.matches(flow)) {
                if *left == 0 {
                    break;
                }
                *left -= 1;
                printed.flow(F::NAME, flow)?;
            }
            printed.part()?;
            Ok::<_, anyhow::Error>(*left > 0)
        })
    }
}

/// Where flows are printed.
enum Printed<'o> {
    Table {
        table: Table,
        is_wide: bool,
        out: &'o mut dyn Write,
    },
    Items(Items<'o>),
}

impl<'o> Printed<'o> {
    fn new(output: Output, out: &'o mut dyn Write) -> Self {
        let is_wide = output == Output::Wide;
        if output.is_text() {
            let table = entry::table(is_wide);
            Self::Table { table, is_wide, out }
        } else {
            Self::Items(Items::new(output, out))
        }
    }

    fn flow(&mut self, family: &'static str, flow: &Flow) -> anyhow::Result<()> {
        match self {
            Self::Table { table, is_wide, .. } => {
                table.row(entry::cells(flow, *is_wide));
                Ok(())
            }
            Self::Items(items) => items.item(&Entry::new(family, flow)),
        }
    }

    /// Prints what there is so far.
    fn part(&mut self) -> anyhow::Result<()> {
        if let Self::Table { table, out, .. } = self {
            table.print_part(*out)?;
        }
        Ok(())
    }

    fn end(mut self) -> anyhow::Result<()> {
        self.part()?;
        match self {
            Self::Table { .. } => Ok(()),
            Self::Items(items) => items.end(),
        }
    }
}

/// What was forgotten.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Removed {
    flows: u32,
    entries: u32,
}

fn flush(place: &Place, args: &FlushArgs, out: &mut dyn Write) -> anyhow::Result<()> {
    let (v4, v6) = (open::<V4>(place)?, open::<V6>(place)?);
    anyhow::ensure!(v4.is_some() || v6.is_some(), absent::error(&place.bpffs_root));
    let mut removed = Removed::default();
    removed.add(v4, args)?;
    removed.add(v6, args)?;
    args.format.output.print(out, &removed, || removed.to_string())
}

impl Removed {
    fn add<F: MapFamily>(&mut self, flows: Option<FlowList<F>>, args: &FlushArgs) -> anyhow::Result<()> {
        let Some(mut flows) = flows.filter(|_| args.filter.wants(F::NAME)) else {
            return Ok(());
        };
        let is_meant = |flow: &Flow| flow.path != Path::Held && args.filter.matches(flow);
        let (flows, entries) = flows.remove(flow_clock(), is_meant)?;
        self.flows += flows;
        self.entries += entries;
        Ok(())
    }
}

impl std::fmt::Display for Removed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { flows, entries } = self;
        writeln!(f, "{flows} flows are forgotten ({entries} entries).")?;
        if *flows > 0 {
            writeln!(
                f,
                "Established connections through them break; new ones are balanced anew."
            )?;
        }
        Ok(())
    }
}

fn open<F: MapFamily>(place: &Place) -> anyhow::Result<Option<FlowList<F>>> {
    FlowList::<F>::open(&place.bpffs_root).with_context(|| absent::unreadable(&place.bpffs_root))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        _command: Command,
    }

    #[test]
    fn a_flush_needs_either_a_filter_or_the_word_all() {
        for (words, is_taken) in [
            (&["flush"][..], false),
            (&["flush", "--all"], true),
            (&["flush", "--client", "10.0.0.1"], true),
            (&["flush", "--proto", "udp", "--state", "opening"], true),
            (&["flush", "--all", "--client", "10.0.0.1"], false),
            (&["flush", "-o", "json"], false),
            (&["list"], true),
        ] {
            let parsed = Line::try_parse_from([&["kpr"], words].concat());
            assert_eq!(parsed.is_ok(), is_taken, "{words:?}: {parsed:?}");
        }
    }

    #[test]
    fn a_flush_says_plainly_what_it_does() {
        let text = Removed { flows: 2, entries: 4 }.to_string();
        assert_eq!(
            text,
            "2 flows are forgotten (4 entries).\nEstablished connections through them break; new ones are balanced anew.\n"
        );
        assert_eq!(Removed::default().to_string(), "0 flows are forgotten (0 entries).\n");
    }
}
