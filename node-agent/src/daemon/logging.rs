//! Log lines, to standard error.

use anyhow::Context;
use tracing_subscriber::EnvFilter;

use super::LogFormat;

/// The API client's own lines: each failed attempt is an error to it, where the agent says once that the API server is
/// away. A filter that names the client overrides this.
const QUIET: &str = "kube_client=off";

/// Starts logging with the given filter.
pub(super) fn init(format: LogFormat, filter: &str) -> anyhow::Result<()> {
    let filter: EnvFilter = format!("{QUIET},{filter}")
        .parse()
        .with_context(|| format!("--log {filter:?} is not a level or a list such as `info,kpr_node_agent=debug`"))?;
    let logger = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let started = match format {
        LogFormat::Text => logger.try_init(),
        LogFormat::Json => logger.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("logging cannot be started: {error}"))
}
