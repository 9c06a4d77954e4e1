//! What is done once instead of running: before an upgrade, before the end, and to see whether all is well.
//!
//! The hooks of the Helm chart run these, each with rights of its own; the operator's own rights are not enough, on purpose.

pub mod check;
pub mod crds;
pub mod uninstall;

use std::time::Duration;

use clap::Subcommand;
use kube::Client;

pub use check::check;
pub use uninstall::uninstall;

/// Between two looks at the API.
const PAUSE: Duration = Duration::from_secs(1);

/// What to do once, instead of running.
#[derive(Clone, Debug, Eq, PartialEq, Subcommand)]
pub enum Command {
    /// Wait until every KubeProxyReplacement is Available at its newest generation, and say what it serves
    Check {
        /// How long, in seconds
        #[arg(long, default_value_t = 120, value_name = "SECONDS")]
        timeout: u64,
    },
    /// Delete every KubeProxyReplacement, and wait until the nodes have removed their datapath
    ///
    /// An operator and the agents must be running: they do the work.
    Uninstall {
        /// How long, in seconds
        #[arg(long, default_value_t = 600, value_name = "SECONDS")]
        timeout: u64,
    },
    /// The CRDs that this operator was built with
    Crds {
        /// What to do with them.
        #[command(subcommand)]
        action: CrdAction,
    },
}

/// What to do with the CRDs.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Subcommand)]
pub enum CrdAction {
    /// Install them, or bring them up to date
    Apply,
    /// Delete them, and with them every KubeProxyReplacement that is left
    Delete,
    /// Print them as YAML
    Print,
}

/// Does it; what is found goes to stdout. `connect` is called if the API server is needed.
pub async fn run<F>(command: &Command, connect: impl FnOnce() -> F) -> anyhow::Result<()>
where
    F: Future<Output = Result<Client, crate::connect::Error>>,
{
    match command {
        Command::Check { timeout } => {
            for line in check(connect().await?, Duration::from_secs(*timeout)).await? {
                println!("{line}");
            }
        }
        Command::Uninstall { timeout } => uninstall(connect().await?, Duration::from_secs(*timeout)).await?,
        Command::Crds { action } => match action {
            CrdAction::Apply => crds::apply(connect().await?).await?,
            CrdAction::Delete => crds::delete(connect().await?).await?,
            CrdAction::Print => print!("{}", crds::yaml()?),
        },
    }
    Ok(())
}

/// At most ten names, then a count.
fn some(names: &[String]) -> String {
    const SHOWN: usize = 10;
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    match names.len().checked_sub(SHOWN) {
        Some(more) if more > 0 => format!("{shown} and {more} more"),
        _ => shown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_names_are_shown_and_the_others_counted() {
        let names: Vec<_> = (1..=12).map(|n| format!("node-{n}")).collect();
        assert_eq!(some(&names[..2]), "node-1, node-2");
        assert!(some(&names[..10]).ends_with("node-10"));
        assert!(some(&names).ends_with("node-10 and 2 more"));
    }
}
