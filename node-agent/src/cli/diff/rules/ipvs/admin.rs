//! `ipvsadm --save --numeric`: the commands that would make the servers.

use super::{Affinity, Backends, Key, Server, socket, takes_connections};
use crate::model::Protocol;

/// What `ipvsadm -p` without a number means, in seconds.
const DEFAULT_PERSISTENCE: u32 = 300;

pub(super) fn parse(text: &str) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let Some(key) = key(&words) else { continue };
        match words[0] {
            "-A" => servers.push(Server {
                key,
                affinity: affinity(&words),
                backends: Backends::new(),
            }),
            "-a" => {
                let backend = behind("-r", &words).and_then(socket);
                let takes = behind("-w", &words).is_none_or(takes_connections);
                if let Some(server) = servers.iter_mut().rfind(|server| server.key == key) {
                    server.backends.extend(backend.filter(|_| takes));
                }
            }
            _ => {}
        }
    }
    servers
}

fn key(words: &[&str]) -> Option<Key> {
    let flags = [
        ("-t", Protocol::Tcp),
        ("-u", Protocol::Udp),
        ("--sctp-service", Protocol::Sctp),
    ];
    flags.into_iter().find_map(|(flag, protocol)| {
        let address = socket(behind(flag, words)?)?;
        Some(Key { address, protocol })
    })
}

fn affinity(words: &[&str]) -> Affinity {
    if !words.contains(&"-p") {
        return Affinity::None;
    }
    let seconds = behind("-p", words).and_then(|seconds| seconds.parse().ok());
    Affinity::Seconds(seconds.unwrap_or(DEFAULT_PERSISTENCE))
}

fn behind<'w>(flag: &str, words: &[&'w str]) -> Option<&'w str> {
    let position = words.iter().position(|word| *word == flag)?;
    words.get(position + 1).copied()
}
