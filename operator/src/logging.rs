//! Log lines on stderr.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::options::LogFormat;

/// kube logs every failed request by itself, with less than our own line about it says, and wraps each of our lines into
/// a span that repeats them.
const QUIET: &str = "kube_client::client::builder=off,kube_runtime::controller=warn";

/// Starts logging for the whole process.
pub fn start(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter = parse(filter)?;
    let terminal = std::io::stderr().is_terminal();
    let builder = fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .with_ansi(terminal);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging can't be started: {error}"))
}

fn parse(filter: &str) -> anyhow::Result<EnvFilter> {
    // Before the user's, so that theirs overrides it.
    EnvFilter::try_new(format!("{QUIET},{filter}")).map_err(|_| {
        anyhow::anyhow!(
            "{filter:?} is no log filter: give a level (error, warn, info, debug, trace), \
             or levels by module as in info,kpr_operator=debug"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_or_levels_by_module() {
        for good in ["info", "debug", "info,kpr_operator=trace", "off"] {
            parse(good).expect(good);
        }
        for bad in ["foo=bar=baz", "kpr_operator=loud"] {
            let error = parse(bad).expect_err(bad).to_string();
            assert!(error.starts_with(&format!("{bad:?} is no log filter")), "{error}");
        }
    }
}
