//! `kpr monitor`: what happens on this node, as it happens.

mod line;

use std::io::Write;

use super::{Exit, Output, args::Place as Where, output::Format};
use crate::{
    events::{Filter, Line, Place},
    observe,
};

/// What is to be shown.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Only of these clients: ADDRESS, CIDR, ADDRESS:PORT or :PORT (sockets have no address yet, and are none)
    #[arg(long, value_name = "PLACE")]
    client: Option<Place>,
    /// Only of these frontends
    #[arg(long, value_name = "PLACE")]
    frontend: Option<Place>,
    /// Only of this Service, or of a port of it
    #[arg(long, value_name = "NAMESPACE/NAME[:PORT]")]
    service: Option<String>,
    /// Only of these backends
    #[arg(long, value_name = "PLACE")]
    backend: Option<Place>,
    /// Only of this protocol
    #[arg(long, value_name = "PROTOCOL", value_parser = ["tcp", "udp", "sctp"])]
    proto: Option<String>,
    /// Only what goes no further: dropped, refused or denied
    #[arg(long)]
    drops: bool,
    /// Only with this reason, as in `kpr status --verbose`; may be given more than once [default: all but xdp_forwarded]
    #[arg(long, value_name = "REASON", value_delimiter = ',')]
    reason: Vec<String>,
    /// Show one in so many
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    sample: u32,
    /// End after so many lines
    #[arg(long, short = 'n', value_name = "N")]
    count: Option<u64>,
    #[command(flatten)]
    format: Format,
}

impl Args {
    fn filter(&self) -> Filter {
        Filter {
            client: self.client,
            frontend: self.frontend,
            service: self.service.clone(),
            backend: self.backend,
            protocol: self.proto.clone(),
            drops: self.drops,
            reasons: self.reason.clone(),
            sample: self.sample,
        }
    }
}

/// Prints lines as they come, until the agent or the reader ends it.
pub(super) async fn run(place: &Where, args: &Args, out: &mut dyn Write) -> anyhow::Result<Exit> {
    let mut lines = match observe::listen(&place.run_dir, &args.filter()).await {
        Ok(lines) => lines,
        Err(error) if error.is_unreachable() => {
            eprintln!("kpr: {error}");
            return Ok(Exit::AgentUnreachable);
        }
        Err(error) => return Err(error.into()),
    };
    let mut shown = 0;
    while args.count.is_none_or(|count| shown < count) {
        let Some(line) = lines.next().await? else {
            eprintln!("kpr: the agent has ended it");
            return Ok(Exit::AgentUnreachable);
        };
        if let Line::Failed { message } = &line {
            anyhow::bail!("{message}");
        }
        shown += u64::from(matches!(line, Line::Event(_)));
        let text = match args.format.output {
            Output::Text | Output::Wide => line::text(&line),
            Output::Json => Some(serde_json::to_string(&line)?),
            Output::Yaml => Some(format!("---\n{}", serde_saphyr::to_string(&line)?.trim_end())),
        };
        if let Some(text) = text {
            writeln!(out, "{text}")?;
            // Somebody waits for it.
            out.flush()?;
        }
    }
    Ok(Exit::Ok)
}
