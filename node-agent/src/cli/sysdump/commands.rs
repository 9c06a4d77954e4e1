//! Parts that commands of kpr print.

use clap::Parser as _;

use super::Archive;
use crate::{
    cli::{self, Args, Exit, args::Place},
    netfilter,
};

/// A command, and the file that has its output.
struct Part {
    file: &'static str,
    about: &'static str,
    words: &'static [&'static str],
    /// Lines after which the rest is left out.
    is_bounded: bool,
}

/// What every node has.
const PARTS: [Part; 9] = [
    part("status.txt", "the agent's state", &["status", "--verbose"]),
    part(
        "status.json",
        "the same, and the policy that it sees",
        &["status", "-o", "json"],
    ),
    part(
        "services.txt",
        "frontends in the maps",
        &["service", "list", "-o", "wide"],
    ),
    part("services.json", "the same", &["service", "list", "-o", "json"]),
    part(
        "backends.json",
        "backends in the maps",
        &["backend", "list", "-o", "json"],
    ),
    bounded(
        "flows.txt",
        "flows that are translated packet by packet",
        &["conntrack", "list", "-o", "wide"],
    ),
    bounded(
        "affinity.txt",
        "clients that stick to a backend",
        &["affinity", "list", "-o", "wide"],
    ),
    part("maps.txt", "kinds, sizes and fill of the maps", &["maps"]),
    part("log.json", "which lines the agent logs", &["log", "-o", "json"]),
];

/// Where kube-proxy has rules. That it has none is in `version.txt`.
const KUBE_PROXY: [Part; 2] = [
    part(
        "kube-proxy.txt",
        "where kube-proxy's rules differ from the maps",
        &["diff", "kube-proxy", "-o", "wide"],
    ),
    part("kube-proxy.json", "the same", &["diff", "kube-proxy", "-o", "json"]),
];

const fn part(file: &'static str, about: &'static str, words: &'static [&'static str]) -> Part {
    Part {
        file,
        about,
        words,
        is_bounded: false,
    }
}

const fn bounded(file: &'static str, about: &'static str, words: &'static [&'static str]) -> Part {
    Part {
        is_bounded: true,
        ..part(file, about, words)
    }
}

/// Runs them all. `most`: lines of those whose number of lines is nobody's choice.
pub(super) async fn add_to<W: std::io::Write>(
    archive: &mut Archive<W>,
    place: &Place,
    most: u64,
) -> anyhow::Result<()> {
    let kube_proxy = KUBE_PROXY.into_iter().filter(|_| netfilter::rules().any());
    for Part {
        file,
        about,
        words,
        is_bounded,
    } in PARTS.into_iter().chain(kube_proxy)
    {
        let (text, exit) = match run(place, words, is_bounded.then_some(most)).await {
            Ok((text, exit)) => (Ok(text), exit),
            Err(error) => (Err(error), Exit::Ok),
        };
        let why = match exit {
            Exit::AgentUnreachable => Some("the agent of this node does not answer"),
            _ => None,
        };
        if let Some(why) = why {
            archive.failed(file, why);
        }
        if text.as_ref().is_ok_and(String::is_empty) {
            continue;
        }
        archive.add(file, about, text)?;
    }
    Ok(())
}

async fn run(place: &Place, words: &[&str], most: Option<u64>) -> anyhow::Result<(String, Exit)> {
    let mut args = Args::try_parse_from(["kpr"].iter().chain(words))?;
    args.place = place.clone();
    let mut out = Lines {
        text: Vec::new(),
        left: most,
    };
    // This is a command of the same program: the future would be as large as itself.
    let exit = Box::pin(cli::run(&args, &mut out)).await?;
    let text = String::from_utf8_lossy(&out.text).into_owned();
    let mut text = anstream::adapter::strip_str(&text).to_string();
    if out.left == Some(0) {
        text += "(cut off here: --flows takes more)\n";
    }
    Ok((text, exit))
}

/// Takes so many lines and forgets those that follow.
struct Lines {
    text: Vec<u8>,
    left: Option<u64>,
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.left == Some(0) {
                break;
            }
            self.text.extend_from_slice(line);
            if let Some(left) = self.left.as_mut().filter(|_| line.ends_with(b"\n")) {
                *left -= 1;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn each_part_is_a_command_of_this_program() {
        for Part { words, .. } in PARTS.into_iter().chain(KUBE_PROXY) {
            Args::try_parse_from(["kpr"].iter().chain(words)).unwrap();
        }
    }

    #[test]
    fn no_more_lines_are_kept_than_asked_for_however_they_come() {
        let mut lines = Lines {
            text: Vec::new(),
            left: Some(2),
        };
        for bytes in ["a", "b\nc", "\nd\n", "e\n"] {
            lines.write_all(bytes.as_bytes()).unwrap();
        }
        assert_eq!((lines.text.as_slice(), lines.left), (&b"ab\nc\n"[..], Some(0)));
    }
}
