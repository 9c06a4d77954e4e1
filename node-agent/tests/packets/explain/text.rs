//! What `kpr explain` prints.

use crate::{
    rig::{Backend, Frontend, LOCAL_POD, NODE_PORT, REMOTE_POD, Rig, TCP},
    socket::CLUSTER_IP,
};
use kpr_abi::service::flags;
use serde_json::{Value, json};
use std::{
    net::Ipv4Addr,
    process::{Command, Output},
};

const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

fn run(node: &Rig, arguments: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_kpr"))
        .arg("--bpffs-root")
        .arg(&node.options.bpffs_root)
        .arg("--run-dir")
        .arg(&node.options.run_dir)
        .args(arguments.split(' '))
        .output()
        .unwrap()
}

fn kpr(node: &Rig, arguments: &str) -> String {
    let output = run(node, arguments);
    assert!(
        output.status.success(),
        "{arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// A NodePort with a backend on another node, one with policy Local, and a load balancer's address that lets nobody in.
fn node() -> Rig {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let local = Frontend {
        port: NODE_PORT + 1,
        ..Frontend::node_port(TCP)
    };
    node.serve(
        local.external_local().affinity(10_800, 9),
        8,
        &[Backend::Local(LOCAL_POD), Backend::Remote(REMOTE_POD)],
    );
    let vip = Frontend {
        addr: VIP,
        port: 443,
        flags: flags::LOAD_BALANCER | flags::SOURCE_RANGES,
        ..Frontend::node_port(TCP)
    };
    node.serve(vip, 16, &[Backend::Local(LOCAL_POD)]);
    let empty = Frontend {
        addr: CLUSTER_IP,
        port: 80,
        flags: flags::CLUSTER_IP,
        ..Frontend::node_port(TCP)
    };
    node.serve(empty, 24, &[]);
    node
}

#[test]
fn each_way_that_a_packet_or_a_call_may_take_is_told_in_a_few_lines() {
    let node = node();
    for (asked, answer) in [
        (
            "tcp 192.168.49.2:31683 --from outside=192.168.49.100:50000",
            "TCP 192.168.49.100:50000 -> 192.168.49.2:31683
arrives at eth0 (tc ingress)
  frontend    0.0.0.0:31683/TCP, NodePort
  policy      external traffic policy Cluster; no session affinity
  candidates  1: 10.244.1.2:80
  chosen      10.244.1.2:80, there is no other
  leaves      by eth0 as 192.168.49.2:50000 -> 10.244.1.2:80, after SNAT: the answer comes back here
  counted     flow_to_remote
",
        ),
        (
            "tcp 192.168.49.2:31684 --from outside=192.168.49.100",
            "TCP 192.168.49.100:40000 -> 192.168.49.2:31684
arrives at eth0 (tc ingress)
  frontend    0.0.0.0:31684/TCP, NodePort
  policy      external traffic policy Local; session affinity for 3h0m
  candidates  1: 10.244.0.3:80 (this node)
  chosen      10.244.0.3:80, there is no other
  goes up     by pod as 192.168.49.100:40000 -> 10.244.0.3:80, through this node's stack (netfilter, routing, the CNI's own hooks)
  counted     flow_to_local
",
        ),
        (
            "tcp 203.0.113.7:443 --from outside=192.168.49.100",
            "TCP 192.168.49.100:40000 -> 203.0.113.7:443
arrives at eth0 (tc ingress)
  frontend    203.0.113.7:443/TCP, LoadBalancer
  policy      external traffic policy Cluster; no session affinity; only for its source ranges
  candidates  1: 10.244.0.3:80 (this node)
  dropped     the client is in none of the frontend's source ranges
  counted     drop_source_range
",
        ),
        (
            "udp 203.0.113.7:443 --from outside=192.168.49.100",
            "UDP 192.168.49.100:40000 -> 203.0.113.7:443
arrives at eth0 (tc ingress)
  passes      for no frontend, and of no flow that is known: left as it is to the node's stack
",
        ),
        (
            "tcp 192.168.49.2:31683 --from node",
            "TCP this node -> 192.168.49.2:31683
calls connect()
  frontend    0.0.0.0:31683/TCP, NodePort
  policy      external traffic policy Cluster; no session affinity
  candidates  1: 10.244.1.2:80
  chosen      10.244.1.2:80, there is no other
  connects    to 10.244.1.2:80: its packets never carry 192.168.49.2, and go to the backend as the CNI routes them
  counted     socket_translated
",
        ),
        (
            "tcp 10.96.0.20:80 --from node",
            "TCP this node -> 10.96.0.20:80
calls connect()
  frontend    10.96.0.20:80/TCP, ClusterIP
  policy      internal traffic policy Cluster; no session affinity
  denied      the Service has no usable endpoint: the call fails with ECONNREFUSED
  counted     socket_no_endpoint
",
        ),
        // What address a pod's socket will have is not known: its packets are looked at.
        (
            "tcp 203.0.113.7:443 --from pod=10.244.0.231",
            "TCP 10.244.0.231:40000 -> 203.0.113.7:443
note: the pod's network namespace is not found (no process of this node has that address): session affinity is as for a new pod
calls connect()
  passes      for no frontend that sockets are led from here: the call is left as it is
comes in by the pod's device pod (tc ingress)
  frontend    203.0.113.7:443/TCP, LoadBalancer
  policy      external traffic policy Cluster; no session affinity; only for its source ranges
  candidates  1: 10.244.0.3:80 (this node)
  dropped     the client is in none of the frontend's source ranges
  counted     drop_source_range
",
        ),
    ] {
        assert_eq!(kpr(&node, &format!("explain {asked}")), answer, "{asked}");
    }
}

#[test]
fn programs_get_the_same_answer_as_json_and_as_yaml() {
    let node = node();
    let asked = "explain tcp 192.168.49.2:31683 --from outside=192.168.49.100:50000";
    let json: Value = serde_json::from_str(&kpr(&node, &format!("{asked} -o json"))).unwrap();
    let yaml: Value = serde_saphyr::from_str(&kpr(&node, &format!("{asked} -o yaml"))).unwrap();
    assert_eq!(json, yaml);
    let step = &json["steps"][0];
    assert_eq!(step["hook"], "ingress");
    assert_eq!(
        step["chosen"],
        json!({"address": "10.244.1.2:80", "id": 1, "by": "only", "certain": true})
    );
    assert_eq!(step["outcome"]["verdict"], "leaves");
    assert_eq!(
        step["outcome"]["packet"],
        json!({"from": "192.168.49.2:50000", "to": "10.244.1.2:80"})
    );
    assert_eq!(step["reasons"], json!(["flow_to_remote"]));
}

#[test]
fn what_cannot_be_explained_is_said_why() {
    let node = node();
    for (asked, why) in [
        (
            "tcp 192.168.49.2:80 --from outside=fd00::1",
            "are of two address families",
        ),
        (
            "tcp 192.168.49.2:80 --from outside=192.168.49.100 --device lo",
            "no program for packets from outside is on lo",
        ),
        (
            "tcp 192.168.49.2:80 --from outside=192.168.49.100 --device eth9",
            "there is no device eth9",
        ),
        (
            "tcp 192.168.49.2:80 --from pod/default/web",
            "--from pod=ADDR works without it",
        ),
    ] {
        let output = run(&node, &format!("explain {asked}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(why), "{asked}: {said}");
    }
}
