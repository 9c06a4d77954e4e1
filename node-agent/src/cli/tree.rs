//! `kpr tree`: the command line of `kpr` as data, by which `kubectl kpr` completes it.

use std::io::Write;

use clap::CommandFactory as _;
use kpr_command_tree::Tree;

use super::{Exit, args};

/// Prints it as JSON.
pub(super) fn run(out: &mut dyn Write) -> anyhow::Result<Exit> {
    let tree = Tree::from(&args::Args::command());
    serde_json::to_writer_pretty(&mut *out, &tree)?;
    writeln!(out)?;
    Ok(Exit::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where `cargo xtask codegen` writes it.
    const WRITTEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../kubectl-plugin/src/completion/kpr.json");

    #[test]
    fn kubectls_plugin_completes_this_command_line() {
        let mut out = Vec::new();
        run(&mut out).unwrap();
        let written = std::fs::read(WRITTEN).unwrap();
        assert!(
            written == out,
            "{WRITTEN} is not what kpr's command line says: `cargo xtask codegen` writes it anew"
        );
    }
}
