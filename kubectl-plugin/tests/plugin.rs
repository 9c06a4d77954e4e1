//! The plugin as a shell sees it, with a kubectl that knows three nodes.

mod script;

use std::{
    collections::BTreeMap,
    fs,
    io::Read as _,
    os::unix::fs::symlink,
    path::Path,
    process::{Command, Output, Stdio},
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use script::{Script, text};

const KUBECTL_KPR: &str = env!("CARGO_BIN_EXE_kubectl-kpr");

/// Pods of node-c, node-a and node-b: the first is about to start, the last has one that ends and one that runs. What `kpr` says is the
/// pod's name and its arguments, and on node-b it ends with 4.
const KUBECTL: &str = r#"#!/bin/sh
echo "$@" >> "$0.calls"
case "$*" in
*"get pods"*json*"k8s-app=kube-proxy")
    cat <<'EOF'
{"items": [
 {"metadata": {"name": "proxy-1", "namespace": "kube-system"}, "spec": {"nodeName": "node-a"}, "status": {"phase": "Running"}},
 {"metadata": {"name": "proxy-2", "namespace": "kube-system"}, "spec": {"nodeName": "node-b"}, "status": {"phase": "Running"}}
]}
EOF
    ;;
*"get pods"*json*"app=other"*) echo '{"items": []}' ;;
*"get pods"*json*)
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
*"exec --stdin"*"agent-1 -- kpr diff kube-proxy -o wide --iptables -") cat; exit 6 ;;
*"exec --stdin"*"agent-2 -- kpr diff kube-proxy -o wide --nft -") cat ;;
*"exec"*"-- kpr diff kube-proxy -o wide") echo "a rule is not understood" >&2; exit 1 ;;
*"exec"*"proxy-1 -- iptables-save") echo ":KUBE-SERVICES - [0:0]" ;;
*"exec"*"proxy-1 -- ip6tables-save") echo "no IPv6" >&2; exit 1 ;;
*"exec"*"proxy-2 -- ip"*"tables-save") echo ":KUBE-FIREWALL - [0:0]" ;;
*"exec"*"proxy-2 -- nft --json list ruleset") echo '{"table": {"name": "kube-proxy"}}' ;;
*"exec"*"agent-1 -- kpr sysdump --output - --flows 7") cat "$0.dump" ;;
*"exec"*"agent-2 -- kpr sysdump --output - --flows 7") head -c 40 "$0.dump" ;;
*"get pod/web-0 --namespace default --ignore-not-found --output json")
    echo '{"metadata": {"name": "web-0", "namespace": "default"}, "spec": {"nodeName": "node-a"}, "status": {"phase": "Running"}}' ;;
*"get pod/far --namespace default --ignore-not-found --output json")
    echo '{"metadata": {"name": "far", "namespace": "default"}, "spec": {"nodeName": "node-z"}, "status": {"phase": "Running"}}' ;;
*"get pod/waiting --namespace default --ignore-not-found --output json")
    echo '{"metadata": {"name": "waiting", "namespace": "default"}, "spec": {}, "status": {"phase": "Pending"}}' ;;
*"get pod/secret "*) echo "pods is forbidden" >&2; exit 1 ;;
*"get pod/"*) ;;
*"get services --all-namespaces --output json")
    echo '{"items": [{"metadata": {"name": "web", "annotations": {"lb/token": "planted-token"}}}]}' ;;
*"get nodedatapaths"*) echo "no such kind" >&2; exit 1 ;;
*"get "*json) echo '{"items": []}' ;;
*"get pods,"*|*"get "*"--output wide"*) echo "a table" ;;
*"logs --namespace kpr "*) shift 3; echo "log of $1" ;;
*"exec"*json*) echo '{"answer": 1}' ;;
*"exec --namespace kpr agent-1 -- "*) shift 5; echo "agent-1: $*" ;;
*"exec --namespace kpr agent-2 -- "*) shift 5; echo "agent-2: $*"; echo "a complaint" >&2; exit 4 ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
"#;

struct Kubectl(Script);

impl Kubectl {
    fn new() -> Self {
        Self(Script::new(KUBECTL))
    }

    fn calls(&self) -> String {
        self.0.calls()
    }

    fn kpr(&self, arguments: &[&str]) -> Output {
        run(&self.0.path(), arguments)
    }
}

fn run(kubectl: &Path, arguments: &[&str]) -> Output {
    Command::new(KUBECTL_KPR)
        .args(arguments)
        .env("KUBECTL", kubectl)
        .output()
        .expect("kubectl-kpr runs")
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
fn a_pods_connection_is_explained_by_its_own_node_alone() {
    for nodes in [&[][..], &["--node", "node-b,node-a"]] {
        let kubectl = Kubectl::new();
        let question = ["explain", "tcp", "10.96.0.1:80", "--from", "pod/default/web-0"];
        let output = kubectl.kpr(&[nodes, &question].concat());
        assert_eq!(
            (text(&output.stdout).as_str(), output.status.code()),
            (
                "=== node-a ===\nagent-1: kpr explain tcp 10.96.0.1:80 --from pod/default/web-0\n",
                Some(0)
            ),
            "{}",
            text(&output.stderr)
        );
        assert_eq!(kubectl.calls().lines().count(), 3, "{}", kubectl.calls());
    }
}

#[test]
fn other_clients_connections_are_explained_by_every_node() {
    for client in ["outside=203.0.113.9", "pod=10.244.0.7", "node", "pod/web-0"] {
        let kubectl = Kubectl::new();
        let output = kubectl.kpr(&["explain", "tcp", "10.96.0.1:80", "--from", client]);
        let said = text(&output.stdout);
        for pod in ["agent-1", "agent-2"] {
            let answer = format!("\n{pod}: kpr explain tcp 10.96.0.1:80 --from {client}\n");
            assert!(said.contains(&answer), "{said}");
        }
        assert!(!kubectl.calls().contains("get pod/"), "{}", kubectl.calls());
    }
}

#[test]
fn a_pod_that_no_node_can_be_asked_about_is_told() {
    for (nodes, pod, told, code) in [
        (&[][..], "nobody", "there is no pod default/nobody", 5),
        (&[], "waiting", "pod default/waiting is not scheduled to a node yet", 5),
        (
            &["--node", "node-b"],
            "web-0",
            "pod default/web-0 is on node-a, and --node names others",
            5,
        ),
        (
            &[],
            "far",
            "pod default/far is on node-z: no agent's pod is on a node \"node-z\"",
            1,
        ),
        (
            &[],
            "secret",
            "the node of pod default/secret is not known: kubectl get: pods is forbidden",
            1,
        ),
    ] {
        let kubectl = Kubectl::new();
        let from = format!("--from=pod/default/{pod}");
        let output = kubectl.kpr(&[nodes, &["explain", "tcp", "10.96.0.1:80", &from]].concat());
        assert_eq!(
            (text(&output.stderr), output.status.code()),
            (format!("kubectl kpr: {told}\n"), Some(code))
        );
        assert!(!kubectl.calls().contains("exec"), "{}", kubectl.calls());
    }
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
fn kube_proxys_pods_print_the_rules_that_kpr_does_not_understand() {
    let kubectl = Kubectl::new();
    let output = kubectl.kpr(&["--node", "node-a,node-b", "diff", "kube-proxy", "-o", "wide"]);
    assert_eq!(
        text(&output.stdout),
        "=== node-a ===\n:KUBE-SERVICES - [0:0]\n\n\
         === node-b ===\n{\"table\": {\"name\": \"kube-proxy\"}}\n",
        "{}",
        text(&output.stderr)
    );
    assert_eq!(output.status.code(), Some(6), "the worst of both");
    assert_eq!(
        kubectl.calls().matches("k8s-app=kube-proxy").count(),
        1,
        "asked for once"
    );

    let output = kubectl.kpr(&[
        "--node",
        "node-a",
        "--kube-proxy-selector",
        "app=other",
        "diff",
        "kube-proxy",
        "-o",
        "wide",
    ]);
    assert_eq!(
        (text(&output.stderr).as_str(), output.status.code()),
        ("node-a: a rule is not understood\n", Some(1)),
        "without a pod of kube-proxy's, kpr's own answer stands"
    );
}

/// The files of an archive, with their paths.
fn unpack(archive: &[u8]) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(GzDecoder::new(archive));
    let files = archive.entries().expect("an archive").map(|entry| {
        let mut entry = entry.expect("a whole archive");
        let path = entry.path().expect("a path").display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).expect("a text");
        (path, text)
    });
    files.collect()
}

#[test]
fn a_dump_has_a_folder_for_each_node_that_answers_the_objects_and_the_logs() {
    let kubectl = Kubectl::new();
    let mut dump = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    let mut header = tar::Header::new_gnu();
    header.set_size(5);
    header.set_mode(0o644);
    dump.append_data(&mut header, "kpr-sysdump-node-a/status.txt", &b"well\n"[..])
        .unwrap();
    let dump = dump.into_inner().unwrap().finish().unwrap();
    fs::write(kubectl.0.beside("dump"), dump).unwrap();

    let file = kubectl.0.directory().join("all.tar.gz");
    let output = kubectl.kpr(&["sysdump", "--flows", "7", "--output", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    assert!(
        said.ends_with("all.tar.gz; 3 parts have errors (errors.txt)\n"),
        "{said}"
    );

    let files = unpack(&fs::read(&file).unwrap());
    let (folder, _) = files.keys().next().unwrap().split_once('/').unwrap();
    let of = |name: &str| files.get(&format!("{folder}/{name}")).map(String::as_str);
    assert_eq!(of("nodes/node-a/status.txt"), Some("well\n"));
    assert_eq!(of("logs/agent-3.log"), Some("log of agent-3\n"));
    assert_eq!(of("objects/pods.txt"), Some("a table\n"));
    let services = of("objects/services.json").unwrap();
    assert!(
        services.contains("lb/token") && !services.contains("planted-token"),
        "{services}"
    );
    let errors = of("errors.txt").unwrap();
    for words in [
        "nodes/node-b: the archive of the node is not whole",
        "nodes/node-c: pod kpr/agent-3 is \"Pending\"",
        "objects/nodedatapaths.json: kubectl get: no such kind",
    ] {
        assert!(errors.contains(words), "{words}: {errors}");
    }
    let contents = of("contents.txt").unwrap();
    assert!(contents.contains("         5  nodes/node-a/status.txt\n"), "{contents}");
}

#[test]
fn the_program_writes_itself_and_not_on_a_terminal() {
    let write_to = |out: Stdio| {
        let mut command = Command::new(KUBECTL_KPR);
        command.arg("program").stdout(out).output().expect("kubectl-kpr runs")
    };
    let output = write_to(Stdio::piped());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(
        output.stdout == fs::read(KUBECTL_KPR).unwrap(),
        "{} bytes",
        output.stdout.len()
    );

    let terminal = fs::File::options().read(true).write(true).open("/dev/ptmx").unwrap();
    let output = write_to(terminal.into());
    assert_eq!(
        (text(&output.stderr).as_str(), output.status.code()),
        (
            "kubectl kpr: a program is nothing for a terminal: lead the output into a file, or to another program\n",
            Some(1)
        )
    );
}

/// What the plugin's completion prints for these words.
fn complete(kubectl: &Kubectl, words: &[&str]) -> String {
    let program = kubectl.0.directory().join("kubectl_complete-kpr");
    if !program.exists() {
        symlink(KUBECTL_KPR, &program).expect("a link");
    }
    let output = Command::new(program)
        .args(words)
        .env("KUBECTL", kubectl.0.path())
        .output();
    text(&output.expect("it runs").stdout)
}

#[test]
fn nodes_with_agents_are_candidates_where_a_node_is_named() {
    let kubectl = Kubectl::new();
    let nodes = complete(&kubectl, &["--context", "prod", "--node", ""]);
    assert_eq!(nodes, "node-a\nnode-b\nnode-c\n:4\n");
    let nodes = complete(&kubectl, &["--node=node-a,node-b"]);
    assert_eq!(nodes, "--node=node-a,node-b\n:4\n");
    let nobody = complete(&kubectl, &["--selector", "app=other", "--node", ""]);
    assert_eq!(nobody, ":4\n");
    for words in [&["--node", "node-a", "stat"][..], &["status", "--node", ""]] {
        complete(&kubectl, words);
    }
    let list = |selector| format!("get pods --output json --selector {selector} --all-namespaces");
    let agents = list("app.kubernetes.io/name=kpr-agent");
    assert_eq!(
        kubectl.calls().lines().collect::<Vec<_>>(),
        [&format!("--context prod {agents}"), &agents, &list("app=other")],
        "nothing is asked for else"
    );
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
