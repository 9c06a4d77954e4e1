//! The two programs as a shell sees them: output, exit codes. Needs no privileges.

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    path::Path,
    process::{Command, Output},
};

use flate2::read::GzDecoder;

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

/// The files of an archive, by their names without the folder.
fn unpack(archive: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    let files = archive.entries().expect("an archive").map(|entry| {
        let mut entry = entry.expect("a whole archive");
        let path = entry.path().expect("a path").display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("a text");
        let (folder, name) = path.split_once('/').expect("a file in a folder");
        assert!(folder.starts_with("kpr-sysdump-"), "{path}");
        (name.to_owned(), text)
    });
    files.collect()
}

#[test]
fn a_dump_has_what_can_be_had_without_a_datapath_and_no_secret() {
    const SECRET: &str = "planted-token-4711";
    let dir = tempfile::tempdir().unwrap();
    let kubeconfig = dir.path().join(".kube/config");
    fs::create_dir_all(kubeconfig.parent().unwrap()).unwrap();
    fs::write(
        &kubeconfig,
        format!("users: [{{name: me, user: {{token: {SECRET}}}}}]\n"),
    )
    .unwrap();
    let place = [dir.path().join("bpf"), dir.path().join("run")];
    let output = Command::new(KPR)
        .args(["sysdump", "--bpffs-root"])
        .arg(&place[0])
        .arg("--run-dir")
        .arg(&place[1])
        // Nothing listens there.
        .args(["--metrics-address", "127.0.0.1:1"])
        .env("HOME", dir.path())
        .env("KUBECONFIG", &kubeconfig)
        .env("REGISTRY_PASSWORD", SECRET)
        .current_dir(dir.path())
        .output()
        .unwrap();
    assert_eq!(code(&output), Some(0), "{output:?}");

    let said = stdout(&output);
    let (name, rest) = said.split_once(": ").unwrap();
    assert!(name.starts_with("kpr-sysdump-") && name.ends_with("Z.tar.gz"), "{said}");
    assert!(rest.ends_with("have errors (errors.txt).\n"), "{said}");
    let files = unpack(&fs::read(dir.path().join(name)).unwrap());
    for file in [
        "version.txt",
        "status.txt",
        "devices.txt",
        "routes.txt",
        "rules.txt",
        "sysctls.txt",
    ] {
        assert!(
            files.get(file).is_some_and(|text| !text.is_empty()),
            "{file}: {:?}",
            files.keys()
        );
    }
    assert!(
        files["sysctls.txt"].contains("net/ipv4/ip_forward = "),
        "{}",
        files["sysctls.txt"]
    );
    let errors = &files["errors.txt"];
    for words in [
        "status.txt: the agent of this node does not answer",
        "services.json: no datapath is pinned under ",
        "metrics.txt: http://127.0.0.1:1/metrics",
        "pins.txt: cannot list ",
    ] {
        assert!(
            errors.contains(words) && stderr(&output).contains(words),
            "{words}: {errors}"
        );
    }
    let contents = &files["contents.txt"];
    for file in files.keys().filter(|file| *file != "contents.txt") {
        assert!(
            contents.lines().any(|line| line.starts_with(file.as_str())),
            "{file}: {contents}"
        );
    }
    for (file, text) in &files {
        assert!(!text.contains(SECRET), "{file} has the secret");
    }
}

#[test]
fn a_dump_goes_to_the_standard_output_or_is_an_error_where_it_cannot_be_written() {
    let dir = tempfile::tempdir().unwrap();
    let output = kpr(
        dir.path(),
        &["sysdump", "--output", "-", "--metrics-address", "127.0.0.1:1"],
    );
    assert_eq!(code(&output), Some(0), "{}", stderr(&output));
    assert!(unpack(&output.stdout).contains_key("contents.txt"));
    assert!(stderr(&output).contains("the standard output: "), "{}", stderr(&output));

    let file = dir.path().join("absent/dump.tar.gz").display().to_string();
    let output = kpr(dir.path(), &["sysdump", "--output", &file]);
    assert_eq!((code(&output), stdout(&output).as_str()), (Some(1), ""));
    assert!(stderr(&output).contains("cannot write "), "{}", stderr(&output));
}

#[test]
fn a_comparison_without_rules_or_maps_says_which_are_missing() {
    let dir = tempfile::tempdir().unwrap();
    let saved = dir.path().join("saved");
    for (text, flag, words) in [
        ("*nat\nCOMMIT\n", "--iptables", "no datapath is pinned under "),
        ("*nat\n", "--iptables", "has no end"),
        ("{}", "--nft", "has no table `kube-proxy`"),
        ("nothing", "--ipvs", "neither /proc/net/ip_vs nor"),
    ] {
        fs::write(&saved, text).unwrap();
        let output = kpr(dir.path(), &["diff", "kube-proxy", flag, &saved.display().to_string()]);
        assert_eq!((code(&output), stdout(&output).as_str()), (Some(1), ""), "{text}");
        assert!(stderr(&output).contains(words), "{text}: {}", stderr(&output));
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
fn a_log_filter_that_is_none_is_named_with_what_is_wrong_about_it() {
    for (filter, wrong) in [("kpr=loud", "loud"), ("info,debgu", "debgu")] {
        let output = run(AGENT, &["--log", filter]);
        assert_eq!(code(&output), Some(2));
        let message = stderr(&output);
        let expected = format!("invalid value '{filter}' for '--log <FILTER>': \"{wrong}\" is no log level");
        assert!(message.contains(&expected), "{message}");
    }
}
