//! What the agent knows about its log lines.

use kpr_log_filter::{LevelFilter, Program};

pub(super) const LINES: Program = Program {
    // The API client's own: each failed attempt is an error to it, where the agent says once that the API server is away.
    usual: &[("kube_client", LevelFilter::OFF)],
    names_modules: true,
};
