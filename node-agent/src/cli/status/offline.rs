//! What the pinned maps tell while the agent is down: the datapath goes on without it.

use std::{fmt, path::Path};

use serde::Serialize;

use crate::cli::service;

/// What `kpr status` knows without the agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Offline {
    /// Always false; tells programs which of the two answers this is.
    pub agent_running: bool,
    /// Why the agent could not be asked.
    pub message: String,
    /// What the pins tell.
    pub datapath: Datapath,
}

/// What the pins tell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state")]
pub(super) enum Datapath {
    /// Maps are pinned, so their programs go on forwarding.
    #[serde(rename_all = "camelCase")]
    Pinned {
        /// Frontends in the maps.
        frontends: usize,
        /// Different backends that they lead to.
        backends: usize,
    },
    /// Nothing is pinned, or it could not be read.
    #[serde(rename_all = "camelCase")]
    Unknown {
        /// Why.
        message: String,
    },
}

/// Looks at the pins under `bpffs_root`. `message`: why the agent could not be asked.
pub(super) fn look(bpffs_root: &Path, message: String) -> Offline {
    let datapath = match service::read(bpffs_root) {
        Ok(entries) => {
            // Each family has ids of its own.
            let ids = entries.iter().flat_map(|e| e.backends.iter().map(|b| (e.family, b.id)));
            let mut ids: Vec<_> = ids.collect();
            ids.sort_unstable();
            ids.dedup();
            Datapath::Pinned {
                frontends: entries.len(),
                backends: ids.len(),
            }
        }
        Err(error) => Datapath::Unknown {
            message: format!("{error:#}"),
        },
    };
    Offline {
        agent_running: false,
        message,
        datapath,
    }
}

impl fmt::Display for Offline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}.", sentence(&self.message))?;
        match &self.datapath {
            Datapath::Pinned { frontends, backends } => writeln!(
                f,
                "The datapath is pinned and goes on forwarding what was last programmed: {frontends} frontends, \
                 {backends} backends (kpr service list)."
            ),
            Datapath::Unknown { message } => writeln!(f, "Nothing is known of the datapath: {message}."),
        }
    }
}

/// With a capital letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offline(datapath: Datapath) -> Offline {
        Offline {
            agent_running: false,
            message: "the agent is not running on this node: nothing answers at /run/kpr/agent.sock".into(),
            datapath,
        }
    }

    #[test]
    fn without_an_agent_the_pins_speak() {
        let text = offline(Datapath::Pinned {
            frontends: 6,
            backends: 4,
        })
        .to_string();
        assert_eq!(
            text,
            "The agent is not running on this node: nothing answers at /run/kpr/agent.sock.\n\
             The datapath is pinned and goes on forwarding what was last programmed: 6 frontends, 4 backends (kpr \
             service list).\n"
        );
    }

    #[test]
    fn without_pins_it_says_that_nothing_is_known() {
        let text = look(Path::new("/nonexistent/kpr"), "the agent is away".into()).to_string();
        assert!(
            text.starts_with("The agent is away.\nNothing is known of the datapath: "),
            "{text}"
        );
    }

    #[test]
    fn json_tells_programs_which_answer_it_is() {
        let json = serde_json::to_value(offline(Datapath::Pinned {
            frontends: 1,
            backends: 0,
        }))
        .unwrap();
        assert_eq!(json["agentRunning"], false);
        assert_eq!(json["datapath"]["state"], "Pinned");
        assert_eq!(json["datapath"]["frontends"], 1);
    }
}
