//! `kubectl kpr check` as a shell sees it, with a kubectl that knows two nodes, and whose pods answer as a cluster does that works.

mod script;

use std::{
    fs,
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::Duration,
};

use script::{Script, text};
use serde_json::Value;

/// `$MODE` says what goes wrong. Answers are made of the questions: each is replaced by what that target says.
const KUBECTL: &str = r#"#!/bin/sh
echo "$1 $2 $3 $4" >> "$0.calls"
answer() { printf '{"servers":{%s},"clients":{"10.244.0.9":1},"failures":{%s}}' "$1" "$2"; }
to() { printf 's/[{]"protocol":"[A-Z]*","target":"%s"[^}]*[}]/%s/g;' "$1" "$2"; }
case "$*" in
"get nodes "*)
    cat <<'EOF'
{"items": [
 {"metadata": {"name": "node-b"}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
  "addresses": [{"type": "InternalIP", "address": "192.0.2.2"}, {"type": "Hostname", "address": "node-b"}]}},
 {"metadata": {"name": "node-a"}, "status": {"conditions": [{"type": "Ready", "status": "True"}],
  "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]}},
 {"metadata": {"name": "node-c"}, "status": {"conditions": [{"type": "Ready", "status": "Unknown"}]}}
]}
EOF
    ;;
"get pods --output json --selector"*)
    cat <<'EOF'
{"items": [
 {"metadata": {"name": "agent-1", "namespace": "kpr"}, "spec": {"nodeName": "node-a", "containers": [{"image": "kpr:1"}]},
  "status": {"phase": "Running"}},
 {"metadata": {"name": "agent-2", "namespace": "kpr"}, "spec": {"nodeName": "node-b", "containers": [{"image": "kpr:2"}]},
  "status": {"phase": "Running"}}
]}
EOF
    ;;
"create --filename -")
    objects=$(cat)
    if [ "$MODE" = forbidden ]; then echo "namespaces is forbidden" >&2; exit 1; fi
    case "$objects" in
    *hostNetwork*) if [ "$MODE" = restricted ]; then echo "hostNetwork is not allowed" >&2; exit 1; fi ;;
    *) echo "$objects" > "$0.created" ;;
    esac
    ;;
"wait pod --all "*)
    if [ "$MODE" = hangs ]; then echo > "$0.hangs"; exec sleep 60; fi
    if [ "$MODE" = crashes ]; then echo "timed out waiting" >&2; exit 1; fi
    ;;
"get pods,services "*)
    ready=True
    [ "$MODE" = crashes ] && ready=False
    for pod in server client node; do
        for node in 0 1; do
            items="$items{\"kind\": \"Pod\", \"metadata\": {\"name\": \"$pod-$node\"}, \"status\": {\"phase\": \"Running\",
                \"podIPs\": [{\"ip\": \"10.244.$node.9\"}], \"conditions\": [{\"type\": \"Ready\", \"status\": \"$ready\"}],
                \"containerStatuses\": [{\"state\": {}, \"lastState\": {\"terminated\": {\"reason\": \"Error\"}}}]}},"
        done
    done
    service() {
        items="$items{\"kind\": \"Service\", \"metadata\": {\"name\": \"$1\"}, \"spec\": {\"clusterIPs\": [\"10.96.0.$2\"], \"ports\": [$3]}},"
    }
    service cluster-ip 1
    service sticky 2
    service internal-local 3
    service nobody 6
    service node-port 4 '{"name": "tcp", "nodePort": 30080}, {"name": "udp", "nodePort": 30080}'
    service node-port-local 5 '{"name": "tcp", "nodePort": 30081}, {"name": "udp", "nodePort": 30081}'
    echo "{\"items\": [${items%,}]}"
    ;;
"exec --namespace kpr-check-"*" -- kpr check ask "*)
    here="\"server-${4##*-}\":20"
    both='"server-0":11,"server-1":10'
    all=$both
    [ "$MODE" = one-sided ] && all='"server-1":21'
    if [ "$MODE" = late ] && [ ! -e "$0.late.$4" ]; then
        echo > "$0.late.$4"
        echo "$9" | sed "s/[{][^}]*[}]/$(answer '' '"timed out":3')/g"
        exit
    fi
    echo "$9" | sed "$(to 10.96.0.1:80 "$(answer "$all" '')")
        $(to 10.96.0.2:80 "$(answer '"server-1":21' '')")
        $(to 10.96.0.3:80 "$(answer "$here" '')")
        $(to 10.96.0.6:80 "$(answer '' '"refused":3')")
        $(to '192.0.2.[12]:30080' "$(answer "$both" '')")
        $(to 192.0.2.1:30081 "$(answer '"server-0":20' '')")
        $(to 192.0.2.2:30081 "$(answer '"server-1":20' '')")"
    ;;
"delete namespace kpr-check-"*)
    if [ "$MODE" = stuck ]; then echo "timed out" >&2; exit 1; fi
    echo deleted
    ;;
"delete namespaces --selector app.kubernetes.io/name=kpr-check "*) echo "two deleted" ;;
*) echo "unexpected: $*" >&2; exit 9 ;;
esac
"#;

/// A check that was run, or that runs.
struct Kubectl(Script);

impl Kubectl {
    fn new() -> Self {
        Self(Script::new(KUBECTL))
    }

    fn start(&self, mode: &str, arguments: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_kubectl-kpr"))
            .args(["check", "--outside", "never"])
            .args(arguments)
            .env("KUBECTL", self.0.path())
            .env("MODE", mode)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl-kpr runs")
    }

    fn check(&self, mode: &str, arguments: &[&str]) -> Output {
        self.start(mode, arguments).wait_with_output().expect("it ends")
    }

    /// What was called, without the namespace's name.
    fn calls(&self) -> Vec<String> {
        let without_name = |call: &str| {
            let words = call.split_whitespace();
            let words = words.filter(|word| !word.starts_with("kpr-check-"));
            words.collect::<Vec<_>>().join(" ")
        };
        self.0.calls().lines().map(without_name).collect()
    }

    /// The last thing that is done: nothing of a check is left.
    fn has_removed_the_namespace(&self) -> bool {
        self.calls()
            .last()
            .is_some_and(|call| call.starts_with("delete namespace "))
    }
}

#[test]
fn a_cluster_that_works_is_ok_and_the_namespace_goes() {
    let kubectl = Kubectl::new();
    let output = kubectl.check("works", &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let said = text(&output.stdout);
    assert!(said.ends_with("\n42 questions on node-a, node-b: 42 ok.\n"), "{said}");

    let mut calls = kubectl.calls();
    calls[6..10].sort();
    assert_eq!(
        calls,
        [
            "get nodes --output json",
            "get pods --output json",
            "create --filename -",
            "create --filename -",
            "wait pod --all --namespace",
            "get pods,services --namespace",
            "exec --namespace client-0",
            "exec --namespace client-1",
            "exec --namespace node-0",
            "exec --namespace node-1",
            "delete namespace --ignore-not-found",
        ]
    );
    let created: Value = serde_json::from_slice(&fs::read(kubectl.0.beside("created")).unwrap()).unwrap();
    let pods = created["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|object| object["kind"] == "Pod");
    let image = |pod: &Value| {
        let container = &pod["spec"]["containers"][0];
        format!("{} {}", pod["spec"]["nodeName"], container["image"]).replace('"', "")
    };
    let images: Vec<_> = pods.map(image).collect();
    let (a, b) = ("node-a kpr:1", "node-b kpr:2");
    assert_eq!(images, [a, b, a, b], "each has the image of the agent on its node");
}

#[test]
fn a_server_that_nobody_is_led_to_is_a_failure() {
    let kubectl = Kubectl::new();
    let output = kubectl.check("one-sided", &["--settle", "0"]);
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    let said = text(&output.stdout);
    assert!(
        said.contains("\n42 questions on node-a, node-b: 34 ok, 8 failed.\n"),
        "{said}"
    );
    assert!(
        said.contains(
            "FAILED: ClusterIP, UDP, from pod on node-b to 10.96.0.1:80: expected each of server-0, server-1; \
             server-0 never answered\n"
        ),
        "{said}"
    );
    assert!(kubectl.has_removed_the_namespace());
}

#[test]
fn what_is_not_served_yet_is_asked_again() {
    let kubectl = Kubectl::new();
    let output = kubectl.check("late", &[]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let asked = kubectl.calls().iter().filter(|call| call.starts_with("exec")).count();
    assert_eq!(asked, 8, "each client twice");
}

#[test]
fn where_pods_may_not_have_the_nodes_network_that_is_told_and_the_rest_is_checked() {
    let kubectl = Kubectl::new();
    let output = kubectl.check("restricted", &["-o", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let checks = report["checks"].as_array().unwrap();
    for check in checks {
        if check["from"]["place"] == "nodes" {
            assert_eq!(check["reason"], "kubectl create: hostNetwork is not allowed");
        } else {
            assert_eq!(check["result"], "ok", "{check}");
        }
    }
    assert_eq!((&report["ok"], &report["skipped"]), (&20.into(), &22.into()));
}

#[test]
fn pods_that_do_not_start_are_told_and_the_namespace_goes() {
    let kubectl = Kubectl::new();
    let output = kubectl.check("crashes", &[]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = text(&output.stderr);
    assert!(
        said.contains("pods of the check do not run (--timeout): server-0 is Running (Error); server-1 "),
        "{said}"
    );
    assert!(kubectl.has_removed_the_namespace());
}

#[test]
fn without_the_rights_it_says_which_it_needs() {
    let kubectl = Kubectl::new();
    let output = kubectl.check("forbidden", &[]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("a check creates and deletes a namespace"), "{said}");
    assert!(said.contains("namespaces is forbidden"), "{said}");
}

#[test]
fn an_interrupt_removes_the_namespace() {
    let kubectl = Kubectl::new();
    let check = kubectl.start("hangs", &[]);
    // Half a minute is a bound, and no measure.
    for _moment in 0..1500 {
        if kubectl.0.beside("hangs").exists() {
            break;
        }
        sleep(Duration::from_millis(20));
    }
    let kill = Command::new("kill").args(["-INT", &check.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    let output = check.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).ends_with("kubectl kpr: interrupted\n"),
        "{output:?}"
    );
    assert!(kubectl.has_removed_the_namespace());
}

#[test]
fn a_namespace_that_stays_is_an_error_with_a_way_out() {
    let output = Kubectl::new().check("stuck", &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stdout).contains("42 ok"),
        "the answer is printed all the same"
    );
    let said = text(&output.stderr);
    assert!(said.contains(" is left (kubectl kpr check --clean): "), "{said}");
}

#[test]
fn what_was_left_is_found_by_its_label() {
    let kubectl = Kubectl::new();
    let output = kubectl.check("works", &["--clean"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout).as_str()),
        (Some(0), "two deleted\n")
    );
    assert_eq!(kubectl.calls().len(), 1);
}
