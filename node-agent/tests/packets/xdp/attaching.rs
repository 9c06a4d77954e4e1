//! How devices get the program, keep it and lose it.

use super::node;
use crate::rig::{Rig, run, settings};
use aya::{
    Ebpf,
    programs::{Xdp, XdpMode, links::FdLink},
};
use kpr_node_agent::{datapath::Acceleration, devices::Device};
use std::{
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// What `ip link` says of the device's programs.
fn shown(device: &str) -> Option<(String, String)> {
    let output = Command::new("ip")
        .args(["-d", "link", "show", "dev", device])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (_, id) = text.split_once("prog/xdp id ")?;
    let mode = text
        .split_whitespace()
        .find(|word| word.starts_with("xdp") && !word.contains('/'))?;
    Some((mode.to_owned(), id.split_whitespace().next()?.to_owned()))
}

fn mode(device: &str) -> Option<String> {
    shown(device).map(|(mode, _)| mode)
}

/// The device has no program; the kernel lets go of one in its own time.
#[track_caller]
fn assert_gone(device: &str) {
    let until = Instant::now() + Duration::from_secs(5);
    while mode(device).is_some() && Instant::now() < until {
        thread::sleep(Duration::from_millis(2));
    }
    assert_eq!(mode(device), None);
}

#[test]
fn each_way_of_acceleration_is_switched_to_from_each_other() {
    use Acceleration::{BestEffort, Disabled, Native};
    let mut node = Rig::new();
    let eth0 = [node.eth0()];
    // A veth has it behind its driver, if any way will do: whether the other end takes what the driver sends can't be told.
    let native = (Native, vec!["eth0: native"], Some("xdp"));
    let behind = (BestEffort, vec!["eth0: generic"], Some("xdpgeneric"));
    let off = (Disabled, vec![], None);
    for (wanted, told, seen) in [&native, &behind, &off, &behind, &native, &off, &native] {
        assert_eq!(node.accelerate(&eth0, *wanted), *told);
        match seen {
            Some(seen) => assert_eq!(mode("eth0").as_deref(), Some(*seen), "{wanted:?}"),
            None => assert_gone("eth0"),
        }
    }
    // No external device any more.
    node.accelerate(&[], Native);
    assert_gone("eth0");
}

#[test]
fn a_device_without_an_ethernet_header_and_a_tunnel_are_not_asked() {
    let mut node = Rig::new();
    run("ip link add flannel.1 type vxlan id 1 dstport 8472 dev eth0");
    run("ip tuntap add tun0 mode tun");
    let device = |name: &str, kind: &str| Device {
        name: name.into(),
        ifindex: nix::net::if_::if_nametoindex(name).unwrap(),
        kind: kind.into(),
        ..node.eth0()
    };
    let devices = [node.eth0(), device("flannel.1", "vxlan"), device("tun0", "tun")];
    assert_eq!(node.accelerate(&devices, Acceleration::Native), ["eth0: native"]);
    assert_eq!([mode("flannel.1"), mode("tun0")], [None, None]);
}

#[test]
fn a_driver_that_refuses_says_so_and_best_effort_goes_behind_it() {
    let mut node = Rig::new();
    run("ip link set wire mtu 9000");
    run("ip link set eth0 mtu 9000");
    let device = Device {
        kind: String::new(),
        ..node.eth0()
    };
    let told = node.accelerate(std::slice::from_ref(&device), Acceleration::Native);
    assert!(told[0].starts_with("eth0: its driver refused the program"), "{told:?}");
    assert_eq!(mode("eth0"), None);
    assert_eq!(node.accelerate(&[device], Acceleration::BestEffort), ["eth0: generic"]);
}

/// Another one's program on the device, for as long as the value lives.
fn somebody_elses(device: &str) -> (Ebpf, FdLink) {
    let object = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bpf/kpr-floor.o")).unwrap();
    let mut ebpf = aya::EbpfLoader::new().load(&object).unwrap();
    let program: &mut Xdp = ebpf.program_mut("floor_xdp_empty").unwrap().try_into().unwrap();
    program.load().unwrap();
    let id = program.attach(device, XdpMode::Driver).unwrap();
    let link = program.take_link(id).unwrap().try_into().unwrap();
    (ebpf, link)
}

#[test]
fn somebody_elses_program_stays_and_is_named_until_it_is_gone() {
    let mut node = Rig::new();
    let eth0 = [node.eth0()];
    let foreign = somebody_elses("eth0");
    let before = shown("eth0").unwrap();
    for wanted in [Acceleration::Native, Acceleration::BestEffort] {
        let told = node.accelerate(&eth0, wanted);
        let expected = format!(
            "eth0: the XDP program floor_xdp_empty (id {}) is attached there",
            before.1
        );
        assert!(told[0].starts_with(&expected), "{told:?}");
        assert_eq!(shown("eth0").as_ref(), Some(&before), "it is as it was");
    }
    drop(foreign);
    assert_gone("eth0");
    node.datapath().repair().unwrap();
    assert_eq!(mode("eth0").as_deref(), Some("xdpgeneric"));
}

#[test]
fn a_restarted_agent_swaps_its_program_in_and_detaches_what_is_not_wanted_any_more() {
    let mut node = node();
    let before = shown("eth0").unwrap();
    node.datapath = None;
    assert_eq!(shown("eth0").as_ref(), Some(&before), "it works on without the agent");
    node.start(&settings());
    let eth0 = [node.eth0()];
    assert_eq!(node.accelerate(&eth0, Acceleration::Native), ["eth0: native"]);
    let after = shown("eth0").unwrap();
    assert_eq!(after.0, before.0);
    assert_ne!(after.1, before.1, "another program");
    node.datapath = None;
    node.start(&settings());
    node.accelerate(&eth0, Acceleration::Disabled);
    assert_gone("eth0");
}

#[test]
fn a_link_that_somebody_has_removed_is_made_again() {
    let mut node = node();
    let links = node.options.bpffs_root.join("v1/links");
    let pin = links.join(format!("xdp-{}-native", node.ifindex));
    std::fs::remove_file(&pin).unwrap();
    let repaired = node.datapath().repair().unwrap();
    assert_eq!(repaired, ["the program kpr_xdp (eth0) was not attached"]);
    assert_eq!(mode("eth0").as_deref(), Some("xdp"));
    assert!(node.datapath().repair().unwrap().is_empty());
}
