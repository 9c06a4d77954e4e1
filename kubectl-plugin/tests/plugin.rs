//! The plugin as a shell sees it, with a kubectl that knows three nodes.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Pods of node-c, node-a and node-b: the first is about to start, the last has one that ends and one that runs. What `kpr` says is the
/// pod's name and its arguments, and on node-b it ends with 4.
const KUBECTL: &str = r#"#!/bin/sh
echo "$@" >> "$0.calls"
case "$*" in
*"get pods"*)
    cat <<'EOF'
{"items": [
 {"metadata": {"name": "agent-3", "namespace": "kpr"}, "spec": {"nodeName": "node-c"}, "status": {"phase": "Pending"}},
 {"metadata": {"name": "agent-1", "namespace": "kpr"}, "spec": {"nodeName": "node-a"}, "status": {"phase": "Running"}},
 {"metadata": {"name": "agent-0", "namespace": "kpr", "deletionTimestamp": "2026-01-02T03:04:05Z"},
  "spec": {"nodeName": "node-b"}, "status": {"phase": "Running"}},
 {"metadata": {"name": "agent-2", "namespace": "kpr"}, "spec": {"nodeName": "node-b"}, "status": {"phase": "Running"}},
 {"metadata": {"name": "agent-4", "namespace": "kpr"}, "spec": {}, "status": {"phase": "Pending"}}
]}
EOF
    ;;
*"exec"*json*) echo '{"answer": 1}' ;;
*"exec --namespace kpr agent-1 -- "*) shift 5; echo "agent-1: $*" ;;
*"exec --namespace kpr agent-2 -- "*) shift 5; echo "agent-2: $*"; echo "a complaint" >&2; exit 4 ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
"#;

struct Kubectl {
    directory: tempfile::TempDir,
}

impl Kubectl {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let kubectl = Self { directory };
        fs::write(kubectl.path(), KUBECTL).expect("a script");
        fs::set_permissions(kubectl.path(), fs::Permissions::from_mode(0o755)).expect("a script to run");
        kubectl
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("kubectl")
    }

    fn calls(&self) -> String {
        fs::read_to_string(self.directory.path().join("kubectl.calls")).expect("calls")
    }

    fn kpr(&self, arguments: &[&str]) -> Output {
        run(&self.path(), arguments)
    }
}

fn run(kubectl: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kubectl-kpr"))
        .args(arguments)
        .env("KUBECTL", kubectl)
        .output()
        .expect("kubectl-kpr runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn each_node_answers_under_its_name_and_the_worst_exit_code_counts() {
    let output = Kubectl::new().kpr(&["service", "list", "-o", "wide"]);
    assert_eq!(
        text(&output.stdout),
        "=== node-a ===\nagent-1: kpr service list -o wide\n\n\
         === node-b ===\nagent-2: kpr service list -o wide\n\n\
         === node-c ===\n"
    );
    assert_eq!(
        text(&output.stderr),
        "node-b: a complaint\nnode-c: pod kpr/agent-3 is \"Pending\"\n"
    );
    assert_eq!(output.status.code(), Some(4));
}

#[test]
fn nodes_that_are_named_are_asked_and_no_others() {
    let kubectl = Kubectl::new();
    let output = kubectl.kpr(&["--node", "node-a", "status"]);
    assert_eq!(
        (text(&output.stdout).as_str(), output.status.code()),
        ("=== node-a ===\nagent-1: kpr status\n", Some(0))
    );
    assert_eq!(kubectl.calls().lines().count(), 2, "{}", kubectl.calls());

    let output = kubectl.kpr(&["--node", "node-x", "status"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "kubectl kpr: no agent's pod is on a node \"node-x\"\n"
    );
}

#[test]
fn answers_in_json_are_one_document() {
    let output = Kubectl::new().kpr(&["maps", "-o", "json"]);
    let whole: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        whole,
        serde_json::json!({"node-a": {"answer": 1}, "node-b": {"answer": 1}, "node-c": null})
    );
    assert_eq!(output.status.code(), Some(1), "node-c could not be asked");
}

#[test]
fn context_namespace_and_labels_are_kubectls() {
    let kubectl = Kubectl::new();
    kubectl.kpr(&[
        "--context",
        "prod",
        "--namespace",
        "net",
        "-l",
        "app=kpr",
        "--node",
        "node-a",
        "status",
    ]);
    let calls = kubectl.calls();
    let expected = "--context prod get pods --output json --selector app=kpr --namespace net\n\
                    --context prod exec --namespace kpr agent-1 -- kpr status\n";
    assert_eq!(calls, expected);
}

#[test]
fn without_kubectl_it_says_which_program_is_missing() {
    let output = run(Path::new("/nonexistent/kubectl"), &["status"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.starts_with("kubectl kpr: cannot run /nonexistent/kubectl "),
        "{said}"
    );
}
