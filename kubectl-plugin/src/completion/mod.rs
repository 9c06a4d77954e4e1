//! Completion of `kubectl kpr …`. For the words behind a plugin's name, kubectl runs a program in `PATH` that is called
//! `kubectl_complete-PLUGIN`, with these words, and hands on to the shell what that prints. This program is it, under that name: a link.
//!
//! <https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/#adding-command-line-completion-to-plugins>

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt::Write as _,
    path::Path,
};

use anyhow::{Context as _, Result};
use clap::{Command, CommandFactory as _, Parser as _};
use clap_complete::{ArgValueCandidates, CompletionCandidate, engine::complete};
use kpr_command_tree::Tree;

use crate::{args::Args, check, output, pods, program, sysdump};

/// The name by which kubectl finds it.
const PROGRAM: &str = "kubectl_complete-kpr";

/// The commands of kpr, which it hands on: `cargo xtask codegen` writes them.
const KPR: &str = include_str!("kpr.json");

/// What nodes are named behind.
const NODE: &str = "--node";

// What the shell is told besides: <https://pkg.go.dev/github.com/spf13/cobra#ShellCompDirective>
/// No space behind the only candidate.
const NO_SPACE: u8 = 2;
/// No names of files instead of candidates.
const NO_FILES: u8 = 4;

/// Whether this program was called by the name for completion.
pub(crate) fn is_asked_for() -> bool {
    let called = env::args_os().next();
    called.is_some_and(|called| Path::new(&called).file_stem() == Some(OsStr::new(PROGRAM)))
}

/// Prints the candidates for the last of the words that this program was called with.
pub(crate) async fn run() -> Result<u8> {
    let words: Vec<_> = env::args_os().collect();
    let nodes = nodes(&words).await;
    output::print(&candidates(words, nodes)?)?;
    Ok(0)
}

/// The agents' nodes, if it is one of them that is to be named. None if they can't be had: nobody can be told why.
async fn nodes(words: &[OsString]) -> Vec<String> {
    let [.., before, last] = words else { return Vec::new() };
    if before != NODE && !last.to_string_lossy().starts_with(&format!("{NODE}=")) {
        return Vec::new();
    }
    // With some command, it is a whole line.
    let line = words.iter().cloned().chain(["status".into()]);
    match Args::try_parse_from(line) {
        Ok(args) if args.command.len() == 1 => {
            let all = Args {
                node: Vec::new(),
                ..args
            };
            let pods = pods::find(&all).await.unwrap_or_default();
            pods.into_iter().map(|pod| pod.node).collect()
        }
        _ => Vec::new(),
    }
}

/// The first of the words is the program's name.
fn candidates(words: Vec<OsString>, nodes: Vec<String>) -> Result<String> {
    let last = words.len() - 1;
    let is_flag = |word: &OsStr| word.as_encoded_bytes().starts_with(b"-");
    let wants_flag = is_flag(&words[last]);
    let here = env::current_dir().ok();
    let mut found = complete(&mut command_line(nodes)?, words, last, here.as_deref())?;
    // Whoever has typed nothing is shown what there is to do, as by kubectl itself.
    found.retain(|candidate| wants_flag || !is_flag(candidate.get_value()));
    Ok(print(&found))
}

/// A line for each candidate, with what is said of it, and one for the directives.
fn print(candidates: &[CompletionCandidate]) -> String {
    let mut page = String::new();
    let mut directives = NO_FILES;
    for candidate in candidates {
        let value = candidate.get_value().to_string_lossy();
        if value.ends_with('/') {
            directives |= NO_SPACE;
        }
        page += &value;
        let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
        if let Some(line) = help.lines().next() {
            page.push('\t');
            page += line;
        }
        page.push('\n');
    }
    // Writing to a string can't fail.
    let _ = writeln!(page, ":{directives}");
    page
}

/// All that may be written behind `kubectl kpr`, with these nodes.
fn command_line(nodes: Vec<String>) -> Result<Command> {
    let kpr: Tree = serde_json::from_str(KPR).context("the commands of kpr")?;
    let own = [
        check::Options::command(),
        program::Options::command(),
        sysdump::Options::command(),
    ];
    let is_own = |command: &Command| own.iter().any(|own| own.get_name() == command.get_name());
    let kpr: Vec<_> = kpr.into_commands().filter(|command| !is_own(command)).collect();
    let nodes = ArgValueCandidates::new(move || nodes.iter().map(CompletionCandidate::new).collect());
    let all = Args::command()
        .disable_help_subcommand(true)
        .mut_arg("node", |node| node.add(nodes));
    Ok(all.subcommands(kpr).subcommands(own))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is printed for a line that ends where its last word is completed.
    fn complete(line: &str) -> String {
        let words = ["kubectl_complete-kpr"].into_iter().chain(line.split(' '));
        candidates(
            words.map(OsString::from).collect(),
            vec!["node-a".into(), "node-b".into()],
        )
        .unwrap()
    }

    /// The same, without what is said of the candidates.
    fn values(line: &str) -> Vec<String> {
        let value = |line: &str| line.split('\t').next().unwrap_or_default().to_owned();
        complete(line).lines().map(value).collect()
    }

    #[test]
    fn all_that_may_be_written_is_consistent() {
        command_line(Vec::new()).unwrap().debug_assert();
    }

    #[test]
    fn commands_flags_and_values_are_completed() {
        for (line, expected) in [
            ("serv", &["service"][..]),
            ("service ", &["list", "get"]),
            ("service list --o", &["--output"]),
            ("service list -o w", &["wide"]),
            ("service list --output=j", &["--output=json"]),
            ("--node node-a,node-b backend ", &["list"]),
            ("conntrack list --via SNAT,DSR", &["SNAT,DSR", "SNAT,DSR-local"]),
            ("diff kube-proxy --run", &["--run-dir"]),
            ("explain t", &["tcp"]),
            ("explain tcp 10.96.0.1:80 --f", &["--from"]),
            ("manual conntrack ", &[]),
            ("--kube", &["--kube-proxy-selector", "--kubeconfig"]),
            ("--node ", &["node-a", "node-b"]),
            ("--node=node-a,n", &["--node=node-a,node-a", "--node=node-a,node-b"]),
            ("check --outside ", &["auto", "always", "never"]),
            ("prog", &["program"]),
            // The plugin's own, and not that of the agents.
            ("sysdump --log", &["--log-lines"]),
            ("sysdump --bpf", &[]),
            // Commands that are no user's.
            ("tre", &[]),
            ("check as", &[]),
            ("no-such-command li", &[]),
        ] {
            assert_eq!(values(line), [expected, &[":4"]].concat(), "{line}");
        }
    }

    #[test]
    fn without_a_word_there_are_commands_and_no_flags() {
        let found = values("");
        for command in ["status", "explain", "check", "program", "sysdump"] {
            let times = found.iter().filter(|found| *found == command).count();
            assert_eq!(times, 1, "{command}: {found:?}");
        }
        assert!(!found.iter().any(|found| found.starts_with('-')), "{found:?}");
    }

    #[test]
    fn a_candidate_is_explained_in_a_line() {
        assert_eq!(complete("affi"), "affinity\tThe clients that stick to a backend\n:4\n");
        assert_eq!(
            complete("sysdump --log"),
            "--log-lines\tOf each pod's log, the last so many lines\n:4\n"
        );
    }

    #[test]
    fn files_of_this_machine_are_for_the_plugins_own_options() {
        assert_eq!(complete("--kubeconfig Car"), "Cargo.toml\n:4\n");
        assert_eq!(complete("--kubeconfig sr"), "src/\n:6\n", "a directory goes on");
        assert_eq!(complete("diff kube-proxy --iptables Car"), ":4\n");
    }
}
