//! What `kpr explain` prints.

use crate::rig::{Backend, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, TCP};
use kpr_abi::service::flags;
use std::{net::Ipv4Addr, process::Command};

const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 7);

fn kpr(node: &Rig, arguments: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_kpr"))
        .arg("--bpffs-root")
        .arg(&node.options.bpffs_root)
        .arg("--run-dir")
        .arg(&node.options.run_dir)
        .args(arguments.split(' '))
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn each_way_that_a_packet_may_take_is_told_in_a_few_lines() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let local = Frontend {
        port: NODE_PORT + 1,
        ..Frontend::node_port(TCP)
    };
    node.serve(
        local.external_local(),
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
    let to = format!("{NODE}:{NODE_PORT}");
    assert_eq!(
        kpr(&node, &format!("explain tcp {to} --from outside=192.168.49.100:50000")),
        "TCP 192.168.49.100:50000 -> 192.168.49.2:31683
arrives at eth0 (tc ingress)
  frontend    0.0.0.0:31683/TCP, NodePort
  policy      external traffic policy Cluster; no session affinity
  candidates  1: 10.244.1.2:80
  chosen      10.244.1.2:80, there is no other
  leaves      by eth0 as 192.168.49.2:50000 -> 10.244.1.2:80, after SNAT: the answer comes back here
  counted     flow_to_remote
"
    );
    println!(
        "{}",
        kpr(
            &node,
            &format!("explain tcp {NODE}:{} --from outside=192.168.49.100", NODE_PORT + 1)
        )
    );
    println!(
        "{}",
        kpr(&node, "explain tcp 203.0.113.7:443 --from outside=192.168.49.100")
    );
    println!(
        "{}",
        kpr(&node, "explain udp 203.0.113.7:443 --from outside=192.168.49.100")
    );
    println!("{}", kpr(&node, &format!("explain tcp {to} --from node")));
    println!("{}", kpr(&node, &format!("explain tcp {to} --from pod=10.244.0.77")));
    println!(
        "{}",
        kpr(&node, &format!("explain tcp {to} --from pod=10.244.0.77 -o json"))
    );
}
