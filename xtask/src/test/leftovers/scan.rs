//! Looking for everything that bears a name of kpr's test clusters.

use std::{fmt, fs, path::Path};

use super::cluster;

const PREFIX: &str = "kpr-";
/// The programs of kpr. Test binaries have other names, and end with the stage that runs them.
const PROGRAMS: [&str; 4] = ["kpr", "kpr-operator", "kpr-node-agent", "kpr-cluster"];

/// One thing on the machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Item {
    kind: &'static str,
    name: String,
    /// Where the id of the cluster it belongs to can be read: its own name, or a process's cgroup.
    owner: String,
}

impl Item {
    fn named(kind: &'static str, name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            kind,
            owner: name.clone(),
            name,
        }
    }

    #[cfg(test)]
    pub(super) fn netns(name: &str) -> Self {
        Self::named("network namespace", name)
    }

    /// Does it belong to one of these clusters?
    pub(super) fn belongs_to_any(&self, ids: &[String]) -> bool {
        self.owner.split('/').any(|part| {
            ids.iter()
                .any(|id| part == id || part.strip_prefix(PREFIX).is_some_and(|rest| starts_with_id(rest, id)))
        })
    }
}

/// `7f3a` and `7f3a-node-a` start with the id `7f3a`, `7f3ab` does not.
fn starts_with_id(name: &str, id: &str) -> bool {
    name.strip_prefix(id)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.name)
    }
}

/// Everything there is. What cannot be read (no root, no such file system) has nothing of kpr's in it.
pub(super) fn all() -> Vec<Item> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let mut items = Vec::new();
    items.extend(in_directory("/run/netns", PREFIX).map(|name| Item::named("network namespace", name)));
    items.extend(in_directory("/sys/class/net", PREFIX).map(|name| Item::named("network device", name)));
    items.extend(
        in_directory(cluster::STATE_ROOT, "")
            .map(|name| Item::named("directory", format!("{}/{name}", cluster::STATE_ROOT))),
    );
    // Where a node agent that was not told otherwise would put its files, and where temporary files go.
    for directory in ["/run", "/tmp"] {
        let files = in_directory(directory, "kpr").map(|name| format!("{directory}/{name}"));
        items.extend(
            files
                .filter(|file| file != cluster::STATE_ROOT)
                .map(|file| Item::named("file", file)),
        );
    }
    for root in mounts_of(&mounts, "cgroup2") {
        items.extend(in_directory(&root, PREFIX).map(|name| Item::named("cgroup", format!("{root}/{name}"))));
    }
    for mount in mounts_of(&mounts, "bpf") {
        if mount.contains("/kpr") {
            items.push(Item::named("bpf file system", mount));
        } else {
            items.extend(in_directory(&mount, "kpr").map(|name| Item::named("pins", format!("{mount}/{name}"))));
        }
    }
    items.extend(processes());
    items
}

fn processes() -> impl Iterator<Item = Item> {
    in_directory("/proc", "").filter_map(|pid| {
        pid.parse::<u32>().ok()?;
        let command = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let program = program_of(&command)?;
        let owner = fs::read_to_string(format!("/proc/{pid}/cgroup"))
            .unwrap_or_default()
            .replace('\n', "/");
        Some(Item {
            kind: "process",
            name: format!("{program} (pid {pid})"),
            owner,
        })
    })
}

/// The program of a command line, if it is one of kpr's.
fn program_of(command: &[u8]) -> Option<&'static str> {
    let first = command.split(|byte| *byte == 0).next()?;
    let name = Path::new(std::str::from_utf8(first).ok()?).file_name()?;
    PROGRAMS.into_iter().find(|program| name == *program)
}

/// Mount points of one type of file system, from /proc/self/mounts.
fn mounts_of(mounts: &str, kind: &str) -> Vec<String> {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            let point = fields.next()?;
            (fields.next()? == kind).then(|| point.to_owned())
        })
        .collect()
}

fn in_directory(directory: &str, prefix: &str) -> impl Iterator<Item = String> {
    fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(move |name| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thing_belongs_to_the_cluster_whose_id_it_bears() {
        let ids = ["7f3a".to_owned()];
        for (name, belongs) in [
            ("kpr-7f3a-node-a", true),
            ("/sys/fs/cgroup/unified/kpr-7f3a", true),
            ("/run/kpr-e2e/7f3a/bpf", true),
            ("0::/kpr-7f3a/node-a/agent/", true),
            ("kpr-7f3ab-node-a", false),
            ("kpr-0000-node-a", false),
        ] {
            assert_eq!(Item::named("x", name).belongs_to_any(&ids), belongs, "{name}");
        }
    }

    #[test]
    fn mounts_are_told_by_their_file_system() {
        let mounts = "cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n\
                      bpf /sys/fs/bpf bpf rw 0 0\n\
                      none /run/kpr-e2e/7f3a/bpf bpf rw 0 0\n";
        assert_eq!(mounts_of(mounts, "bpf"), ["/sys/fs/bpf", "/run/kpr-e2e/7f3a/bpf"]);
        assert_eq!(mounts_of(mounts, "cgroup2"), ["/sys/fs/cgroup/unified"]);
    }

    #[test]
    fn only_programs_of_kpr_count_as_its_processes() {
        assert_eq!(
            program_of(b"/src/target/debug/kpr-node-agent\0--node-name\0a\0"),
            Some("kpr-node-agent")
        );
        assert_eq!(program_of(b"kpr\0status\0"), Some("kpr"));
        assert_eq!(program_of(b"/bin/vim\0kpr-operator\0"), None);
        assert_eq!(program_of(b""), None);
    }
}
