//! Completion, as the real kubectl has it done. Without kubectl this fails: `cargo xtask setup` installs it.

use std::{env, ffi::OsString, os::unix::fs::symlink, process::Command};

/// The first that asks plugins; the demo makes do with an older one.
const KUBECTL: (u32, u32) = (1, 26);

/// Whether this machine's kubectl asks plugins.
fn is_asked() -> bool {
    let version = kubectl(&["version", "--client", "--output", "json"], "");
    let version: serde_json::Value = serde_json::from_str(&version).expect("its version");
    let number = |part: &str| {
        let digits = version["clientVersion"][part].as_str().expect("a number");
        digits.trim_end_matches('+').parse().expect("a number")
    };
    (number("major"), number("minor")) >= KUBECTL
}

/// What kubectl prints, with this before all that is in `PATH`.
fn kubectl(arguments: &[&str], first: impl Into<OsString>) -> String {
    let mut path = first.into();
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let output = Command::new("kubectl").args(arguments).env("PATH", path).output();
    let output = output.expect("kubectl runs");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("a text")
}

#[test]
fn kubectl_completes_what_stands_behind_kpr() {
    if !is_asked() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for name in ["kubectl-kpr", "kubectl_complete-kpr"] {
        symlink(env!("CARGO_BIN_EXE_kubectl-kpr"), directory.path().join(name)).unwrap();
    }
    let complete = |words: &[&str]| kubectl(&[&["__complete"], words].concat(), directory.path());
    assert_eq!(
        complete(&["kpr", "serv"]),
        "service\tThe Services that this node serves\n:4\n"
    );
    let formats = complete(&["kpr", "--node", "a", "status", "-o", ""]);
    let names: Vec<_> = formats.lines().filter_map(|line| line.split('\t').next()).collect();
    assert_eq!(names, ["text", "wide", "json", "yaml", ":4"]);
}
