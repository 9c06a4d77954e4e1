//! The command line of `kubectl kpr`.

use std::num::NonZeroU8;

use clap::{Parser, ValueHint};

const HELP: &str = "\
Commands of its own, beside those of kpr (kpr --help):
  sysdump  one archive for a bug report, of all nodes
  check    does every kind of Service work, from pods, from nodes and from here?
  program  the plugin itself, for wherever else kubectl runs

Under the name kubectl_complete-kpr (a link, in PATH) this program completes command lines of kubectl kpr.

Exit codes: the greatest of what kpr ended with on any node (kpr --help), 1 if a node could not be asked.
The pod of `explain --from pod/NAMESPACE/NAME` is looked up: its node is asked, and no other. 5: there is none to ask.";

/// Asks the agents of all nodes: runs kpr in their pods, and prints each node's answer under its name.
#[derive(Clone, Debug, Parser)]
#[command(name = "kubectl-kpr", bin_name = "kubectl kpr", version, after_help = HELP)]
pub(crate) struct Args {
    /// Ask this node only; may be given several times, or as a list with commas
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) node: Vec<String>,
    /// Ask so many nodes at a time
    #[arg(long, value_name = "NUMBER", default_value = "10")]
    pub(crate) parallel: NonZeroU8,
    /// Namespace of the agents' pods (all namespaces)
    #[arg(long, short, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// Labels of the agents' pods
    #[arg(
        long,
        short = 'l',
        value_name = "SELECTOR",
        default_value = "app.kubernetes.io/name=kpr-agent"
    )]
    pub(crate) selector: String,
    /// Labels of kube-proxy's pods, which print their rules for `diff kube-proxy`
    #[arg(long, value_name = "SELECTOR", default_value = "k8s-app=kube-proxy")]
    pub(crate) kube_proxy_selector: String,
    /// The context of the kubeconfig to use, as of kubectl
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig to use, as of kubectl
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kubeconfig: Option<String>,
    /// What kpr is asked on each node, such as: service list -o wide
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    pub(crate) command: Vec<String>,
}

impl Args {
    /// What a command of the plugin's own is told. If that is not understood, or asks for help, the program ends.
    pub(crate) fn options<T: Parser>(&self) -> T {
        T::try_parse_from(&self.command).unwrap_or_else(|error| error.exit())
    }

    /// Whether the command asks for JSON.
    pub(crate) fn wants_json(&self) -> bool {
        let is_json = |flag| self.value_of(flag) == Some("json");
        is_json("-o") || is_json("--output") || self.command.iter().any(|word| word == "-ojson")
    }

    /// What the command's flag is given, in the same word behind "=" or as the next one.
    pub(crate) fn value_of(&self, flag: &str) -> Option<&str> {
        self.command.iter().enumerate().find_map(|(at, word)| {
            let rest = word.strip_prefix(flag)?;
            let next = || self.command.get(at + 1).filter(|_| rest.is_empty());
            rest.strip_prefix('=').or_else(|| next().map(String::as_str))
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Args {
        let words = line.split(' ');
        Args::try_parse_from(std::iter::once("kubectl-kpr").chain(words)).unwrap()
    }

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn what_stands_behind_the_command_is_the_commands_own() {
        let args = parse("--node a,b --node c conntrack list --limit 3 --node x -n y");
        assert_eq!(args.node, ["a", "b", "c"]);
        assert_eq!(
            args.command,
            ["conntrack", "list", "--limit", "3", "--node", "x", "-n", "y"]
        );
        assert_eq!(args.namespace, None);
    }

    #[test]
    fn json_is_asked_for_in_each_of_claps_ways() {
        for (line, json) in [
            ("status -o json", true),
            ("status -ojson", true),
            ("status --output=json", true),
            ("status --output json --verbose", true),
            ("status -o yaml", false),
            ("status", false),
        ] {
            assert_eq!(parse(line).wants_json(), json, "{line}");
        }
    }
}
