//! Process groups.

use std::{fs, process::Child};

use anyhow::Result;
use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};

/// The group that a child leads.
pub(super) fn of(leader: &Child) -> Result<Pid> {
    Ok(Pid::from_raw(i32::try_from(leader.id())?))
}

/// Send a signal to every process of a group. That the group has just ended is no error.
pub(super) fn signal(group: Pid, signal: Signal) {
    killpg(group, signal).ok();
}

/// Does any process of the group still run? Zombies do not count: where the machine's init is no init (in containers),
/// nobody collects them.
pub(super) fn is_alive(group: Pid) -> bool {
    if killpg(group, None).is_err() {
        return false;
    }
    let Ok(processes) = fs::read_dir("/proc") else {
        return true;
    };
    processes.flatten().any(|process| {
        fs::read_to_string(process.path().join("stat"))
            .is_ok_and(|stat| state_and_group(&stat) == Some((true, group.as_raw())))
    })
}

/// Whether it runs (is no zombie and not dead), and its group, from /proc/PID/stat.
fn state_and_group(stat: &str) -> Option<(bool, i32)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    Some((!matches!(state, "Z" | "X"), fields.nth(1)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_group_are_read_behind_any_command_name() {
        for (stat, expected) in [
            ("12 (a) b) S 1 77 12 0 -1", Some((true, 77))),
            ("12 (cargo) Z 1 77 12 0 -1", Some((false, 77))),
            ("12 (cargo", None),
        ] {
            assert_eq!(state_and_group(stat), expected, "{stat}");
        }
    }
}
