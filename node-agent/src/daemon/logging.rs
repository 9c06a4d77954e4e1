//! Log lines, to standard error.

use std::io;

use anyhow::Context;
use tracing::info;
use tracing_subscriber::{
    EnvFilter, Layer, filter::ParseError, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

use super::LogFormat;
use crate::observe::Levels;

/// The API client's own lines: each failed attempt is an error to it, where the agent says once that the API server is
/// away. A filter that names the client overrides this.
const QUIET: &str = "kube_client=off";

/// Starts logging with the given filter, which can be changed from then on.
pub(super) fn init(format: LogFormat, filter: &str) -> anyhow::Result<Levels> {
    let parsed = parse(filter)
        .with_context(|| format!("--log {filter:?} is not a level or a list such as `info,kpr_node_agent=debug`"))?;
    let (levels, handle) = reload::Layer::new(parsed);
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_ansi(io::IsTerminal::is_terminal(&io::stderr()));
    let lines = match format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(levels)
        .with(lines)
        .try_init()
        .context("logging cannot be started")?;
    Ok(Levels::new(filter, move |filter| {
        let parsed = parse(filter).map_err(|error| error.to_string())?;
        // Told before and after: one of them may be filtered out.
        info!("from here on, log lines are filtered by {filter}");
        handle.reload(parsed).map_err(|error| error.to_string())?;
        info!("log lines are filtered by {filter}");
        Ok(())
    }))
}

fn parse(filter: &str) -> Result<EnvFilter, ParseError> {
    EnvFilter::builder().parse(format!("{QUIET},{filter}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_a_list_and_nothing_else() {
        for good in ["debug", "info,kpr_node_agent::watch=trace", "off"] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for bad in ["info,kpr_node_agent=loud", "a=b=c"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
