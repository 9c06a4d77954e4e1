//! Exit codes of `kpr`: scripts may rely on them.

use std::process::{ExitCode, Termination};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All is well.
    Ok = 0,
    /// The command could not do its work.
    Error = 1,
    /// The command line was not understood. (clap exits with the same number.)
    Usage = 2,
    /// The agent of this node does not answer.
    AgentUnreachable = 3,
    /// The agent answers, and says that the node does not serve Services as it should.
    Unhealthy = 4,
    /// What was asked for by name, id or address is not on this node.
    NotFound = 5,
    /// What was compared differs.
    Different = 6,
}

/// For the end of `--help`.
pub(super) const HELP: &str = "Exit codes:
  0  all is well
  1  the command could not do its work
  2  the command line was not understood
  3  the agent of this node does not answer
  4  the agent answers, but the node does not serve Services as it should (kpr status)
  5  what was asked for is not on this node (kpr service get, kpr explain)
  6  what was compared differs (kpr diff)";

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}
