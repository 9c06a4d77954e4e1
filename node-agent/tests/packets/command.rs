//! What `kpr` reads from a node's pinned maps, and removes from them, where they hold very much.

use std::{
    process::{Command, Output},
    time::Instant,
};

use kpr_node_agent::datapath::{Sizes, flow_clock};
use serde_json::Value;

use crate::{
    rig::{Rig, TCP, UDP},
    sweep::{flow, flows, node_with},
};

/// Flows in the table: twice as many entries.
const FLOWS: u32 = 500_000;
/// What the command may have of memory of its own, in KiB: a list of all flows has a hundred megabytes.
const MEMORY_KIB: u32 = 32_768;

/// `kpr` on the node, with no more memory than it may have.
pub(crate) fn kpr(node: &Rig, arguments: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_kpr");
    let root = node.options.bpffs_root.display();
    let limited = format!("ulimit -d {MEMORY_KIB} && exec {program} --bpffs-root {root} {arguments}");
    let output = Command::new("sh").args(["-c", &limited]).output().unwrap();
    assert!(
        output.status.success(),
        "{arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn json(node: &Rig, arguments: &str) -> Value {
    serde_json::from_slice(&kpr(node, &format!("{arguments} -o json")).stdout).unwrap()
}

/// Entries of the flow table.
fn entries(node: &Rig) -> u64 {
    let maps = json(node, "maps");
    let table = maps
        .as_array()
        .unwrap()
        .iter()
        .find(|map| map["name"] == "FLOWS4")
        .unwrap();
    table["entries"].as_u64().unwrap()
}

#[test]
fn half_a_million_flows_are_listed_and_flushed_in_little_memory() {
    let node = node_with(Sizes {
        flows: 1 << 21,
        ..crate::rig::sizes()
    });
    let mut table = flows(&node.options);
    for number in 0..FLOWS {
        let proto = if number % 5 == 0 { UDP } else { TCP };
        for (key, value) in flow(number, proto, flow_clock()) {
            table.insert(key, value, 0).unwrap();
        }
    }
    assert_eq!(entries(&node), u64::from(2 * FLOWS));

    let began = Instant::now();
    let listed = String::from_utf8(kpr(&node, "conntrack list").stdout).unwrap();
    println!("{FLOWS} flows listed in {:?}", began.elapsed());
    assert_eq!(listed.lines().count(), FLOWS as usize + 1, "each once, and the header");
    assert!(
        listed.lines().skip(1).all(|line| line.contains("  SNAT  ")),
        "as it is translated"
    );

    let some = json(&node, "conntrack list --client 10.0.0.5");
    assert_eq!((&some[0]["protocol"], &some[1]), (&"UDP".into(), &Value::Null));
    assert_eq!(json(&node, "conntrack list --limit 7").as_array().unwrap().len(), 7);
    assert_eq!(json(&node, "conntrack list --family ipv6"), Value::Array(Vec::new()));

    let one = json(&node, "conntrack flush --client 10.0.0.5");
    assert_eq!((&one["flows"], &one["entries"]), (&1.into(), &2.into()));
    assert_eq!(entries(&node), u64::from(2 * FLOWS - 2));
    let udp = json(&node, "conntrack flush --proto udp");
    assert_eq!(udp["flows"], FLOWS / 5 - 1);
    let rest = json(&node, "conntrack flush --all");
    assert_eq!(rest["entries"], 2 * FLOWS / 5 * 4);
    assert_eq!(entries(&node), 0);
}
