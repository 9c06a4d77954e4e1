//! `kubectl kpr sysdump`: what `kpr sysdump` gathers on each node, and what the API server knows, in one archive.

mod archive;
mod objects;

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use clap::Parser;
use futures::{StreamExt as _, stream};
use jiff::{Timestamp, tz::TimeZone};

use crate::{args::Args, kubectl, output, pods, pods::Pod};
use archive::Archive;

/// Gathers what a bug report needs from all nodes into one archive, without secrets.
///
/// What `kpr sysdump` puts together on each node, in a folder for each; kpr's objects, Services and EndpointSlices without values of annotations; and the logs of kpr's pods.
#[derive(Clone, Debug, Parser)]
#[command(name = "sysdump", bin_name = "kubectl kpr sysdump")]
pub(crate) struct Options {
    /// The archive to write; "-": the standard output [default: kpr-sysdump-TIME.tar.gz]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Of each pod's log, the last so many lines
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    log_lines: u32,
    /// As of `kpr sysdump`
    #[arg(long, value_name = "NUMBER")]
    flows: Option<u64>,
    /// As of `kpr sysdump`
    #[arg(long, value_name = "ADDRESS:PORT")]
    metrics_address: Option<String>,
}

/// The first word of what is asked for.
pub(crate) const COMMAND: &str = "sysdump";

const STANDARD_OUTPUT: &str = "-";

/// Gathers everything. An error: nothing could be written. `args.command` begins with [`COMMAND`].
pub(crate) async fn run(args: &Args) -> Result<u8> {
    let options: Options = args.options();
    let now = Timestamp::now();
    let time = now.to_zoned(TimeZone::UTC).strftime("%Y%m%dT%H%M%SZ");
    let folder = format!("kpr-sysdump-{time}");
    let file = options
        .output
        .clone()
        .unwrap_or_else(|| format!("{folder}.tar.gz").into());
    if file == Path::new(STANDARD_OUTPUT) {
        let stdout = output::no_terminal("an archive")?;
        gather(args, &options, Archive::new(BufWriter::new(stdout), folder, now)).await?;
    } else {
        let cannot = || format!("cannot write {} (--output names another file, or -)", file.display());
        let out = BufWriter::new(File::create(&file).with_context(cannot)?);
        let failed = gather(args, &options, Archive::new(out, folder, now)).await?;
        let trouble = match failed {
            0 => String::new(),
            failed => format!("; {failed} parts have errors (errors.txt)"),
        };
        output::print(&format!("{}{trouble}\n", file.display()))?;
    }
    Ok(0)
}

/// Returns how many parts could not be gathered.
async fn gather<W: Write>(args: &Args, options: &Options, mut archive: Archive<W>) -> Result<usize> {
    // Without the list there is no node to ask, but objects there may be.
    match pods::find(args).await {
        Ok(pods) => {
            let parallel = usize::from(args.parallel.get());
            let dumps = stream::iter(&pods).map(|pod| async move { (pod, dump(args, options, pod).await) });
            let mut dumps = dumps.buffered(parallel);
            while let Some((pod, dump)) = dumps.next().await {
                archive.nest(&format!("nodes/{}", pod.node), dump)?;
            }
        }
        Err(error) => archive.failed("nodes", &error),
    }
    for (name, part) in objects::all(args).await {
        archive.add(&name, part)?;
    }
    for (name, part) in objects::logs(args, options.log_lines).await {
        archive.add(&name, part)?;
    }
    archive.end()
}

/// The archive that `kpr sysdump` makes on a node.
async fn dump(args: &Args, options: &Options, pod: &Pod) -> Result<Vec<u8>> {
    if let Some(trouble) = &pod.trouble {
        anyhow::bail!("pod {}/{} {trouble}", pod.namespace, pod.name);
    }
    let flows = options.flows.map(|flows| flows.to_string());
    let mut arguments = vec!["exec", "--namespace", &pod.namespace, &pod.name, "--", "kpr"];
    arguments.extend([COMMAND, "--output", STANDARD_OUTPUT]);
    for (flag, value) in [("--flows", &flows), ("--metrics-address", &options.metrics_address)] {
        if let Some(value) = value {
            arguments.extend([flag, value]);
        }
    }
    kubectl::output(args, &arguments).await
}
