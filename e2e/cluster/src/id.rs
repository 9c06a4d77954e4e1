//! The name of one test cluster, from which every name it takes on the machine is made.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    path::{Path, PathBuf},
};

/// Where every cluster keeps its state, logs and bpffs.
pub const STATE_ROOT: &str = "/run/kpr-e2e";

/// Marks everything on this machine that belongs to a test cluster.
pub const PREFIX: &str = "kpr-";

const LENGTH: usize = 4;
const ALPHABET: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// Four characters that tell clusters on one machine apart.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(String);

impl ClusterId {
    /// A new name; the caller claims it by creating [`ClusterId::run_dir`].
    pub fn random() -> Self {
        let mut bits = RandomState::new().hash_one(std::process::id());
        let mut name = String::with_capacity(LENGTH);
        for _ in 0..LENGTH {
            let base = ALPHABET.len() as u64;
            name.push(char::from(ALPHABET[usize::try_from(bits % base).unwrap_or_default()]));
            bits /= base;
        }
        Self(name)
    }

    /// The id that a directory name stands for, if it is one.
    pub fn parse(name: &str) -> Option<Self> {
        let valid = name.len() == LENGTH && name.bytes().all(|byte| ALPHABET.contains(&byte));
        valid.then(|| Self(name.to_owned()))
    }

    /// The network namespace called `name` inside this cluster, e.g. `kpr-7f3a-node-a`.
    pub fn netns(&self, name: &str) -> String {
        format!("{PREFIX}{}-{name}", self.0)
    }

    /// True for a namespace that [`ClusterId::netns`] made.
    pub fn owns_netns(&self, name: &str) -> bool {
        name.strip_prefix(PREFIX)
            .and_then(|rest| rest.strip_prefix(self.0.as_str()))
            .is_some_and(|rest| rest.starts_with('-'))
    }

    /// The directory below the cgroup2 mount that holds this cluster's nodes.
    pub fn cgroup(&self) -> String {
        format!("{PREFIX}{}", self.0)
    }

    /// State file, logs, sockets and bpffs of this cluster.
    pub fn run_dir(&self) -> PathBuf {
        Path::new(STATE_ROOT).join(&self.0)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_id_can_be_read_back() {
        let id = ClusterId::random();
        assert_eq!(ClusterId::parse(&id.to_string()), Some(id));
    }

    #[test]
    fn an_id_owns_its_namespaces_and_no_others() {
        let id = ClusterId::parse("7f3a").expect("valid");
        for (name, owned) in [
            ("kpr-7f3a-node-a", true),
            ("kpr-7f3a", false),
            ("kpr-7f3b-node-a", false),
            ("kpr-7f3ab-node-a", false),
            ("other", false),
        ] {
            assert_eq!(id.owns_netns(name), owned, "{name}");
        }
    }

    #[test]
    fn other_directory_names_are_no_ids() {
        for name in ["", "abc", "abcde", "AB12", "a/b1", "..aa"] {
            assert_eq!(ClusterId::parse(name), None, "{name}");
        }
    }
}
