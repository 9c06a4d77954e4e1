//! A command line as data, with all that completing it asks for.
//!
//! `kubectl kpr` hands commands on to `kpr` on the nodes. It runs on machines for which nobody builds an agent, and must complete them without
//! asking a node: so `kpr` writes its command line down (`cargo xtask codegen`), and `kubectl kpr` has the file.

use clap::{
    Arg, ArgAction, Command,
    builder::{PossibleValue, PossibleValuesParser, Resettable, Str, StyledStr},
};
use serde::{Deserialize, Serialize};

/// A command, with those below it. What is hidden is not in it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tree {
    name: String,
    about: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    arguments: Vec<Argument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    commands: Vec<Tree>,
}

/// A flag, an option, or what stands for itself: that has neither a long nor a short form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Argument {
    name: String,
    help: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    long: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    short: Option<char>,
    /// For all commands below, too.
    #[serde(default, skip_serializing_if = "is_false")]
    global: bool,
    /// None: a flag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    takes: Option<Takes>,
}

/// What values an argument takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Takes {
    /// Several, each a word.
    #[serde(default, skip_serializing_if = "is_false")]
    many: bool,
    /// Several, in a word with these between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delimiter: Option<char>,
    /// Those that there are; none: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    values: Vec<Value>,
}

/// A value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Value {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    help: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "what serde calls it with")]
fn is_false(flag: &bool) -> bool {
    !flag
}

impl Tree {
    /// The commands below this one, each with the arguments that it has from above.
    pub fn into_commands(self) -> impl Iterator<Item = Command> {
        let is_global = |argument: &Argument| argument.global;
        let global: Vec<_> = self.arguments.into_iter().filter(is_global).map(Arg::from).collect();
        let with_global = move |tree| Command::from(tree).args(&global);
        self.commands.into_iter().map(with_global)
    }
}

impl From<&Command> for Tree {
    /// Of a command that is not built yet: what it has from above is not its own.
    fn from(command: &Command) -> Self {
        let arguments = command.get_arguments().filter(|argument| !argument.is_hide_set());
        let commands = command.get_subcommands().filter(|command| !command.is_hide_set());
        Self {
            name: command.get_name().to_owned(),
            about: text(command.get_about()),
            arguments: arguments.map(Argument::from).collect(),
            commands: commands.map(Self::from).collect(),
        }
    }
}

impl From<Tree> for Command {
    fn from(tree: Tree) -> Self {
        Self::new(tree.name)
            .about(tree.about)
            .args(tree.arguments.into_iter().map(Arg::from))
            .subcommands(tree.commands.into_iter().map(Self::from))
    }
}

impl From<&Arg> for Argument {
    fn from(argument: &Arg) -> Self {
        let value = |value: &PossibleValue| Value {
            name: value.get_name().to_owned(),
            help: value.get_help().map(ToString::to_string),
        };
        let values = argument.get_possible_values();
        let takes = || Takes {
            many: argument.get_num_args().is_some_and(|number| number.max_values() > 1),
            delimiter: argument.get_value_delimiter(),
            values: values.iter().filter(|value| !value.is_hide_set()).map(value).collect(),
        };
        Self {
            name: argument.get_id().to_string(),
            help: text(argument.get_help()),
            long: argument.get_long().map(str::to_owned),
            short: argument.get_short(),
            global: argument.is_global_set(),
            takes: argument.get_action().takes_values().then(takes),
        }
    }
}

impl From<Argument> for Arg {
    fn from(argument: Argument) -> Self {
        let arg = Self::new(argument.name)
            .help(argument.help)
            .long(Resettable::from(argument.long.map(Str::from)))
            .short(argument.short)
            .global(argument.global);
        let Some(takes) = argument.takes else {
            return arg.action(ArgAction::SetTrue);
        };
        let arg = arg.value_delimiter(takes.delimiter);
        let arg = if takes.many { arg.num_args(1..) } else { arg };
        if takes.values.is_empty() {
            return arg;
        }
        let value =
            |value: Value| PossibleValue::new(value.name).help(Resettable::from(value.help.map(StyledStr::from)));
        arg.value_parser(PossibleValuesParser::new(takes.values.into_iter().map(value)))
    }
}

fn text(styled: Option<&StyledStr>) -> String {
    styled.map(ToString::to_string).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A command with one of everything.
    fn command() -> Command {
        let value = |name: &str| PossibleValue::new(name.to_owned());
        Command::new("tool")
            .about("Does \"things\".")
            .arg(Arg::new("place").long("place").help("Where").global(true))
            .subcommand(Command::new("secret").hide(true))
            .subcommand(
                Command::new("list")
                    .about("Lists.")
                    .arg(Arg::new("secret").long("secret").hide(true))
                    .arg(
                        Arg::new("all")
                            .long("all")
                            .short('a')
                            .help("Everything")
                            .action(ArgAction::SetTrue),
                    )
                    .arg(
                        Arg::new("format")
                            .long("format")
                            .help("How")
                            .value_delimiter(',')
                            .value_parser(PossibleValuesParser::new([
                                value("text"),
                                value("json").help("For programs"),
                            ])),
                    )
                    .arg(Arg::new("names").help("Whom").num_args(1..)),
            )
    }

    #[test]
    fn what_is_written_down_is_the_same_command_line_without_what_is_hidden() {
        let tree = Tree::from(&command());
        let json = serde_json::to_string(&tree).unwrap();
        assert!(!json.contains("secret"), "{json}");
        let read: Tree = serde_json::from_str(&json).unwrap();
        assert_eq!(read, tree);
        let again = Tree::from(&Command::from(read));
        assert_eq!(again, tree);
    }

    #[test]
    fn a_command_has_its_help_its_own_arguments_and_those_for_all() {
        let [mut list]: [Command; 1] = Tree::from(&command())
            .into_commands()
            .collect::<Vec<_>>()
            .try_into()
            .unwrap();
        let help = list.render_long_help().to_string();
        for words in [
            "Lists.",
            "-a, --all",
            "Everything",
            "--format <format>",
            "json: For programs",
            "[names]...",
            "--place <place>",
        ] {
            assert!(help.contains(words), "{words}: {help}");
        }
    }
}
