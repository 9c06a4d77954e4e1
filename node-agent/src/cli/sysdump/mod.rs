//! `kpr sysdump`: what a bug report needs, in one archive.
//!
//! Every part is gathered for itself: one that fails leaves its error in the archive. No part reads environments, kubeconfigs, tokens or
//! Secrets: there is nothing to take out.

mod archive;
mod commands;
mod metrics;
mod network;
mod node;

use std::{
    fs::File,
    io::{self, BufWriter, IsTerminal as _, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};
use jiff::{Timestamp, tz::TimeZone};

use super::{Exit, args::Place};
use crate::observe;
use archive::{Archive, Written};

/// Where to, and how much.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The archive to write; "-": the standard output [default: kpr-sysdump-NODE-TIME.tar.gz]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Of flows, and of clients that stick to a backend, put in no more lines than this
    #[arg(long, value_name = "NUMBER", default_value_t = 5000)]
    flows: u64,
    /// Where the agent serves /metrics
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:10249")]
    metrics_address: SocketAddr,
    /// Directory of the node's sysctls
    #[arg(long, value_name = "DIR", env = "KPR_SYSCTL_ROOT", default_value = "/proc/sys")]
    sysctl_root: PathBuf,
}

const STANDARD_OUTPUT: &str = "-";

/// The last words of every archive.
const LEFT_OUT: &str = "\
Left out: tokens, kubeconfigs, Secrets and environments, which are nowhere read. Addresses and names of Services are in.
Not here: the agent's log, which goes to its standard output (kubectl logs), and objects of the API (kubectl kpr sysdump has both). The
policy as the agent sees it is in status.json.
";

/// Gathers everything. An error: nothing could be written.
pub(super) async fn run(place: &Place, args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let now = Timestamp::now();
    let node = node_name(place).await;
    let time = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ");
    let folder = format!("kpr-sysdump-{node}-{time}");
    let file = args.output.clone().unwrap_or_else(|| format!("{folder}.tar.gz").into());
    if file == Path::new(STANDARD_OUTPUT) {
        let stdout = io::stdout();
        ensure!(
            !stdout.is_terminal(),
            "an archive is nothing for a terminal: lead the output elsewhere, or name a file"
        );
        // Not `out`, which is for text.
        let written = gather(place, args, &node, Archive::new(BufWriter::new(stdout), folder, now)).await?;
        anstream::eprintln!("kpr: {}", sentence("the standard output", written));
    } else {
        let cannot = || format!("cannot write {} (--output names another file, or -)", file.display());
        let archive = File::create(&file).with_context(cannot)?;
        let written = gather(place, args, &node, Archive::new(BufWriter::new(archive), folder, now)).await?;
        writeln!(out, "{}", sentence(&file.display().to_string(), written))?;
    }
    Ok(Exit::Ok)
}

async fn gather<W: Write>(place: &Place, args: &Args, node: &str, mut archive: Archive<W>) -> anyhow::Result<Written> {
    archive.add("version.txt", "kpr, kernel and machine", node::version(node))?;
    commands::add_to(&mut archive, place, args.flows).await?;
    archive.add(
        "metrics.txt",
        "the agent's /metrics",
        metrics::get(args.metrics_address).await,
    )?;
    archive.add("pins.txt", "pinned maps and links of programs", node::pins(place))?;
    match network::look().await {
        Ok(network) => {
            archive.add("devices.txt", "devices and addresses", network.devices)?;
            archive.add("routes.txt", "routes of all tables", network.routes)?;
            archive.add("rules.txt", "routing rules", network.rules)?;
        }
        Err(error) => archive.add("devices.txt", "", Err(error))?,
    }
    archive.add("sysctls.txt", "sysctls that matter", node::sysctls(&args.sysctl_root))?;
    archive.end(LEFT_OUT)
}

/// What the agent calls it, or else the machine's own name.
async fn node_name(place: &Place) -> String {
    if let Ok(status) = observe::get_status(&place.run_dir).await {
        return status.node;
    }
    let own = nix::sys::utsname::uname().ok();
    own.and_then(|own| own.nodename().to_str().map(str::to_owned))
        .filter(|name| !name.is_empty() && !name.contains('/'))
        .unwrap_or_else(|| "node".to_owned())
}

fn sentence(archive: &str, Written { files, failed }: Written) -> String {
    let trouble = match failed {
        0 => String::new(),
        1 => "; 1 part has an error (errors.txt)".to_owned(),
        parts => format!("; {parts} parts have errors (errors.txt)"),
    };
    format!("{archive}: {files} files{trouble}.")
}
