//! What the operator knows about its log lines.

use kpr_log_filter::{LevelFilter, Program};

/// Lines of the operator, and of what works alone without being one.
pub const LINES: Program = Program {
    // kube logs every failed request by itself, with less than our own line about it says, and wraps each of our lines into a
    // span that repeats them.
    usual: &[
        ("kube_client::client::builder", LevelFilter::OFF),
        ("kube_runtime::controller", LevelFilter::WARN),
    ],
    names_modules: false,
};
