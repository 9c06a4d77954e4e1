//! The datapath without its agent, and with the next one.

use crate::{
    packet::{ACK, Packet, SYN, endpoints},
    rig::{Backend, CLIENT, Frontend, LOCAL_POD, NODE, NODE_PORT, REMOTE_POD, Rig, TCP, settings},
};
use kpr_node_agent::datapath::{Datapath, Error, Options, dump};
use std::{fs, path::Path};

#[test]
fn a_restarted_agent_finds_flows_and_services_and_writes_nothing() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    let before = node.datapath().v4_mut().restore().unwrap();
    let syn = Packet::tcp(SYN, (CLIENT, 40_000), (NODE, NODE_PORT));
    let (src, dst) = endpoints(&node.ingress(&syn.bytes()).packet);

    node.datapath = None;
    assert_eq!(
        dump::services4(&node.options.bpffs_root).unwrap().as_ref(),
        Some(&before),
        "pins tell without an agent"
    );

    node.start(&settings());
    assert_eq!(node.datapath().v4_mut().restore().unwrap(), before);
    assert_eq!(node.datapath().report().map_writes, 0);
    let packet = Packet::tcp(ACK, (CLIENT, 40_000), (NODE, NODE_PORT));
    assert_eq!(
        node.ingress(&packet.bytes()).packet,
        packet.from(src).to(dst).ttl(63).bytes()
    );
}

#[test]
fn links_are_swapped_not_made_anew() {
    let mut node = Rig::new();
    let links = node.options.bpffs_root.join("v1/links");
    let inodes = |links: &Path| {
        use std::os::unix::fs::MetadataExt;
        let mut all: Vec<_> = fs::read_dir(links)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|e| (e.file_name(), e.metadata().unwrap().ino()))
            .collect();
        all.sort();
        all
    };
    let before = inodes(&links);
    let attachments = node.datapath().report().attachments.clone();
    assert_eq!(
        attachments.len(),
        15,
        "eleven socket hooks, two packet hooks on each of two devices: {attachments:?}"
    );
    // A kernel without tcx has no links on devices.
    let by_links = attachments.iter().filter(|attachment| attachment.hook != "clsact");
    assert_eq!(before.len(), by_links.count(), "{before:?}");
    node.datapath = None;
    node.start(&settings());
    assert_eq!(inodes(&links), before);
}

#[test]
fn what_somebody_else_took_away_is_put_back() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Remote(REMOTE_POD)]);
    assert_eq!(node.datapath().repair().unwrap(), [""; 0]);

    let root = node.options.bpffs_root.join("v1");
    let names = |folder: &str| {
        let mut names: Vec<_> = fs::read_dir(root.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    let before = ["links", "maps"].map(names);
    for (folder, names) in ["links", "maps"].into_iter().zip(&before) {
        for name in names {
            fs::remove_file(root.join(folder).join(name)).unwrap();
        }
    }
    let repaired = node.datapath().repair().unwrap();
    assert_eq!(repaired.len(), before.concat().len(), "{repaired:?}");
    assert_eq!(["links", "maps"].map(names), before);
    assert_eq!(node.datapath().repair().unwrap(), [""; 0]);

    // The pins are of the same maps: another agent finds what was written.
    let contents = node.datapath().v4_mut().restore().unwrap();
    assert_eq!(contents.services.len(), 1);
    node.start(&settings());
    assert_eq!(node.datapath().v4_mut().restore().unwrap(), contents);
}

#[test]
fn a_link_that_the_kernel_has_not_let_go_of_yet_is_waited_for() {
    use aya::programs::links::PinnedLink;
    use std::{thread, time::Duration};
    let mut node = Rig::new();
    let links: Vec<_> = fs::read_dir(node.options.bpffs_root.join("v1/links"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    // Open links outlive their pins, as they do in the kernel for as long as its work queue is busy with others.
    let open: Vec<_> = links.iter().map(|pin| PinnedLink::from_pin(pin).unwrap()).collect();
    for pin in &links {
        fs::remove_file(pin).unwrap();
    }
    let holder = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        drop(open);
    });
    let repaired = node.datapath().repair().unwrap();
    holder.join().unwrap();
    assert_eq!(repaired.len(), links.len(), "{repaired:?}");
    assert_eq!(node.datapath().repair().unwrap(), [""; 0]);
}

#[test]
fn socket_programs_go_when_they_are_switched_off_and_come_back() {
    use kpr_node_agent::datapath::{Settings, SocketLb};
    let mut node = Rig::new();
    let attached = |node: &Rig| {
        let links = fs::read_dir(node.options.bpffs_root.join("v1/links")).unwrap();
        links
            .filter(|entry| {
                entry
                    .as_ref()
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .starts_with("cgroup-")
            })
            .count()
    };
    for (socket_lb, bind_protection, programs) in [
        (SocketLb::Off, false, 0),
        (SocketLb::HostNamespaceOnly, false, 9),
        (SocketLb::Off, true, 2),
        (SocketLb::All, true, 11),
    ] {
        node.datapath = None;
        node.start(&Settings {
            socket_lb,
            bind_protection,
            ..settings()
        });
        assert_eq!(
            attached(&node),
            programs,
            "{socket_lb:?}, bind protection {bind_protection}"
        );
    }
}

#[test]
fn a_device_that_is_no_longer_wanted_is_let_go() {
    let mut node = Rig::new();
    node.serve(Frontend::node_port(TCP), 0, &[Backend::Local(LOCAL_POD)]);
    node.datapath().attach(&[], &[]).unwrap();
    let links = fs::read_dir(node.options.bpffs_root.join("v1/links")).unwrap();
    let names: Vec<_> = links
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().all(|name| name.starts_with("cgroup-")), "{names:?}");
}

#[test]
fn removal_leaves_no_pin_and_the_sysctl_as_it_was() {
    let sysctl = "/proc/sys/net/ipv4/ip_local_reserved_ports";
    let mut node = Rig::new();
    assert_eq!(fs::read_to_string(sysctl).unwrap().trim(), "45000-65535");
    node.datapath = None;
    Datapath::remove(&node.options).unwrap();
    assert!(!node.options.bpffs_root.exists());
    assert_eq!(fs::read_to_string(sysctl).unwrap().trim(), "");
    Datapath::remove(&node.options).unwrap();
}

#[test]
fn a_place_that_is_no_cgroup2_or_no_bpffs_is_named() {
    let node = Rig::new();
    let elsewhere = tempfile::tempdir().unwrap();
    let wrong = Options {
        cgroup_root: elsewhere.path().into(),
        ..node.options.clone()
    };
    assert!(
        matches!(Datapath::start(&wrong, &settings()), Err(Error::NotCgroup2 { path }) if path == elsewhere.path())
    );
    let wrong = Options {
        bpffs_root: elsewhere.path().into(),
        ..node.options.clone()
    };
    assert!(matches!(Datapath::start(&wrong, &settings()), Err(Error::NotBpffs { path }) if path == elsewhere.path()));
}

#[test]
fn without_tcx_filters_are_attached_once_swapped_and_removed_with_their_qdisc() {
    fn tc(command: &str) -> String {
        let output = std::process::Command::new("tc")
            .args(command.split(' '))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    }
    let filters = |side| {
        tc(&format!("filter show dev eth0 {side}"))
            .lines()
            .filter(|line| line.contains("handle 0x6b70"))
            .count()
    };
    let mut node = Rig::with_clsact();
    let report = node.datapath().report();
    assert!(
        report
            .attachments
            .iter()
            .any(|a| a.hook == "clsact" && a.target == "eth0"),
        "{report:?}"
    );
    assert_eq!((filters("ingress"), filters("egress")), (1, 1));

    node.datapath = None;
    assert_eq!(
        (filters("ingress"), filters("egress")),
        (1, 1),
        "they go on without the agent"
    );
    node.start(&settings());
    assert_eq!((filters("ingress"), filters("egress")), (1, 1), "one filter, swapped");

    node.datapath = None;
    Datapath::remove(&node.options).unwrap();
    assert!(!tc("qdisc show dev eth0").contains("clsact"), "the qdisc was kpr's own");
}
