//! The two programs as a shell sees them: output, exit codes. Needs no privileges.

use std::{
    path::Path,
    process::{Command, Output},
};

const AGENT: &str = env!("CARGO_BIN_EXE_kpr-node-agent");
const KPR: &str = env!("CARGO_BIN_EXE_kpr");

fn run(program: &str, args: &[&str]) -> Output {
    Command::new(program)
        .args(args)
        .output()
        .expect("the program was built")
}

/// `kpr` on a node where kpr never ran.
fn kpr(dir: &Path, args: &[&str]) -> Output {
    let root = dir.join("bpf").display().to_string();
    let run_dir = dir.join("run").display().to_string();
    let place = ["--bpffs-root", &root, "--run-dir", &run_dir];
    run(KPR, &[args, &place].concat())
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn status_without_an_agent_says_so_and_exits_with_3() {
    let dir = tempfile::tempdir().unwrap();
    let text = kpr(dir.path(), &["status"]);
    assert_eq!(code(&text), Some(3));
    assert!(stdout(&text).starts_with("The agent is not running on this node: nothing answers at "));

    let json = kpr(dir.path(), &["status", "-o", "json"]);
    assert_eq!(code(&json), Some(3));
    let answer: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(answer["agentRunning"], false);
    assert_eq!(answer["datapath"]["state"], "Unknown");
}

#[test]
fn a_probe_without_an_agent_is_one_line_and_exits_with_3() {
    let dir = tempfile::tempdir().unwrap();
    for question in ["live", "ready"] {
        let output = kpr(dir.path(), &["probe", question]);
        assert_eq!(code(&output), Some(3), "{question}");
        let said = stdout(&output);
        assert!(said.starts_with("the agent is not running on this node: "), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}

#[test]
fn what_reads_maps_is_one_sentence_without_a_datapath_and_exits_with_1() {
    let dir = tempfile::tempdir().unwrap();
    for args in [
        &["service", "list"][..],
        &["service", "get", "1"],
        &["backend", "list"],
        &["conntrack", "list"],
        &["conntrack", "flush", "--all"],
        &["affinity", "list"],
        &["maps"],
    ] {
        for format in ["text", "json"] {
            let output = kpr(dir.path(), &[args, &["-o", format]].concat());
            assert_eq!((code(&output), stdout(&output).as_str()), (Some(1), ""), "{args:?}");
            let message = stderr(&output);
            assert!(
                message.starts_with("kpr: no datapath is pinned under "),
                "{args:?}: {message}"
            );
            assert_eq!(message.lines().count(), 1, "{args:?}: {message}");
        }
    }
}

#[test]
fn completion_and_manual_need_no_node() {
    let dir = tempfile::tempdir().unwrap();
    for (args, words) in [
        (&["completion", "bash"][..], "complete -F"),
        (&["manual", "conntrack", "flush"], "kpr\\-conntrack\\-flush"),
    ] {
        let output = kpr(dir.path(), args);
        assert_eq!(code(&output), Some(0), "{args:?}");
        assert!(stdout(&output).contains(words), "{args:?}: {}", stdout(&output));
    }
}

#[test]
fn a_command_line_that_is_not_understood_exits_with_2() {
    for (program, args) in [
        (KPR, &["frobnicate"][..]),
        (KPR, &["status", "-o", "xml"]),
        (KPR, &["service", "get", "web"]),
        (KPR, &["conntrack", "flush"]),
        (KPR, &["conntrack", "list", "--client", "web"]),
        (AGENT, &["--frobnicate"]),
    ] {
        assert_eq!(code(&run(program, args)), Some(2), "{program} {args:?}");
    }
}

#[test]
fn help_explains_every_flag_and_exits_with_0() {
    for (program, args, words) in [
        (KPR, &["--help"][..], &["status", "service", "Exit codes:"][..]),
        (
            AGENT,
            &["--help"],
            &[
                "--node-name",
                "--cgroup-root",
                "--bpffs-root",
                "--run-dir",
                "--log-format",
                "KPR_LOG",
                "uninstall",
            ],
        ),
    ] {
        let output = run(program, args);
        assert_eq!(code(&output), Some(0));
        for word in words {
            assert!(
                stdout(&output).contains(word),
                "{word} is missing in {program} {args:?}"
            );
        }
    }
}

#[test]
fn a_log_filter_that_is_none_is_one_sentence_and_exits_with_1() {
    let output = run(AGENT, &["--log", "kpr=loud"]);
    assert_eq!(code(&output), Some(1));
    let message = stderr(&output);
    assert!(
        message.starts_with("kpr-node-agent: --log \"kpr=loud\" is not a level"),
        "{message}"
    );
    assert_eq!(message.lines().count(), 1, "{message}");
}
