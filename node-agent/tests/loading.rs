//! Every eBPF program, in every way that the agent may specialise it, passes this kernel's verifier.
//!
//! Nothing is attached. Prints what was found on the kernel, and for each program the most instructions that the verifier walked. There are
//! several tests, of which two run at the same time, since the verifier takes most of the time.
//!
//! Needs root and the built eBPF object: `cargo xtask test --only bpf`; on other kernels than this
//! machine's: `cargo xtask kernels --only load`.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use kpr_node_agent::datapath::{
    self, Dsr, DsrDispatch, Error, Options, PortRange, Settings, Sizes, SocketLb, TcChoice, Verified,
};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use std::{collections::BTreeMap, error::Error as _};

/// The eleven socket hooks, two packet hooks and XDP that every kernel gets.
const PROGRAMS: usize = 14;

const fn ports(min: u16, max: u16) -> PortRange {
    PortRange { min, max }
}

/// Ranges as wide and as narrow as they get: the verifier sees them as constants.
const RANGES: [(PortRange, PortRange); 4] = [
    (ports(30_000, 32_767), ports(45_000, 65_535)),
    (ports(1, 65_535), ports(1_024, 65_535)),
    (ports(30_000, 30_000), ports(65_535, 65_535)),
    (ports(32_768, 65_535), ports(1_024, 1_151)),
];

/// Bytes of events, where programs tell what they do.
const EVENTS: u32 = 1 << 16;

#[test]
fn every_program_loads_without_dsr() {
    every_program_loads(SocketLb::All, Dsr::Off, DsrDispatch::Geneve);
}

#[test]
fn every_program_loads_with_dsr_for_tcp() {
    every_program_loads(SocketLb::HostNamespaceOnly, Dsr::Tcp, DsrDispatch::Ipip);
}

#[test]
fn every_program_loads_with_dsr_for_all() {
    every_program_loads(SocketLb::All, Dsr::All, DsrDispatch::Geneve);
}

#[test]
fn every_program_loads_while_dsr_ends() {
    every_program_loads(SocketLb::HostNamespaceOnly, Dsr::Ending, DsrDispatch::Geneve);
}

/// In every other way, too, that changes the programs' code. Without socket load-balancing they are the same and not attached.
fn every_program_loads(socket_lb: SocketLb, dsr: Dsr, dsr_dispatch: DsrDispatch) {
    for feature in datapath::features(TcChoice::Auto) {
        println!("feature: {feature}");
    }
    let place = Place::new();
    let mut count = 0;
    let mut most = BTreeMap::new();
    // What DSR adds depends on ranges no more than the rest does.
    let ranges = if dsr == Dsr::Off { &RANGES[..] } else { &RANGES[..2] };
    // Nor does what events and counts add.
    let told = [(Some(EVENTS), false), (None, true), (Some(EVENTS), true)];
    let told = told.map(|(events, counts)| (&ranges[0], events, counts));
    let told_or_not = ranges.iter().map(|ranges| (ranges, None, false)).chain(told);
    for (&(node_ports, snat_ports), events, count_services) in told_or_not {
        let settings = Settings {
            node_ports,
            snat_ports,
            socket_lb,
            bind_protection: true,
            dsr,
            dsr_dispatch,
            least_connections: socket_lb == SocketLb::All,
            count_services,
            events,
            sizes: Sizes::dynamic(1 << 30, 0.0025),
        };
        let variants =
            datapath::load_variants(&place.options, &settings).unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert!(!variants.is_empty(), "nothing was loaded");
        for variant in variants {
            assert!(variant.programs.len() >= PROGRAMS, "{variant:?}");
            count += 1;
            for Verified { name, walked } in variant.programs {
                let most = most.entry(name).or_default();
                *most = walked.max(*most);
            }
        }
        assert!(!place.options.bpffs_root.exists(), "pins are left");
    }
    println!("configurations: {count}");
    for (name, walked) in most {
        let walked = walked.map_or_else(|| "?".to_owned(), |walked| walked.to_string());
        println!("program: {name} {walked}");
    }
}

/// A bpffs of the test's own, in a mount namespace of its own.
struct Place {
    options: Options,
    directory: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        unshare(CloneFlags::CLONE_NEWNS).expect("this test needs root");
        let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
        mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
        let directory = tempfile::Builder::new().prefix("kpr-loading-").tempdir().unwrap();
        mount(
            Some("bpf"),
            directory.path(),
            Some("bpf"),
            MsFlags::empty(),
            None::<&str>,
        )
        .unwrap();
        let options = Options {
            cgroup_root: datapath::cgroup2_mount().expect("cgroup2 is mounted"),
            bpffs_root: directory.path().join("kpr"),
            run_dir: directory.path().join("run"),
            sysctl_root: "/proc/sys".into(),
            tc: TcChoice::Auto,
        };
        Self { options, directory }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = umount2(self.directory.path(), MntFlags::MNT_DETACH);
    }
}

/// An error with its causes: the verifier's log is one.
fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
