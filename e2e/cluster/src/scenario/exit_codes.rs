//! Exit codes of `kpr` and of its plugin that scenarios hold it to: scripts may rely on them.

/// The agent does not answer.
pub(super) const UNREACHABLE: i32 = 3;
/// There is no such thing on the node.
pub(super) const NOT_FOUND: i32 = 5;
/// What was compared differs.
pub(super) const DIFFERENT: i32 = 6;
/// A check of `kubectl kpr check` failed.
pub(super) const CHECK_FAILED: i32 = 7;
