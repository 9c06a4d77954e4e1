//! Test clusters that are in use.

use std::{fs, path::Path};

use serde_json::Value;

/// Where every test cluster has a directory, named after its id, with a `state.json` that names its owner.
pub(super) const STATE_ROOT: &str = "/run/kpr-e2e";

/// Ids of the clusters whose owner runs.
pub(super) fn living() -> Vec<String> {
    let Ok(entries) = fs::read_dir(STATE_ROOT) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| owner_lives(&entry.path()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
}

fn owner_lives(run_dir: &Path) -> bool {
    let Ok(state) = fs::read_to_string(run_dir.join("state.json")) else {
        return false;
    };
    let Some((pid, start)) = owner(&state) else {
        return false;
    };
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| start_time(&stat) == Some(start))
}

/// Process id and start time, in clock ticks since boot.
fn owner(state: &str) -> Option<(u64, u64)> {
    let state: Value = serde_json::from_str(state).ok()?;
    Some((state["pid"].as_u64()?, state["startTime"].as_u64()?))
}

/// Field 22 of /proc/PID/stat. The command's name may hold spaces and parentheses: count from its last ')'.
fn start_time(stat: &str) -> Option<u64> {
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_cluster_is_read_from_its_state() {
        assert_eq!(owner(r#"{"pid": 12, "startTime": 345}"#), Some((12, 345)));
        assert_eq!(owner(r#"{"pid": 12}"#), None);
        assert_eq!(owner("not JSON"), None);
    }

    #[test]
    fn a_start_time_is_read_behind_any_command_name() {
        let stat = "12 (a) b) S 1 12 12 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 345 0 0";
        assert_eq!(start_time(stat), Some(345));
    }
}
