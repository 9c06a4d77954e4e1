//! A node to run programs on: a network namespace, a bpffs and a cgroup of the test's own, gone when the test ends.

use kpr_abi::{BackendValue, Be16, ServiceKey, ServiceValue, Slice, V4, backend, proto, service::flags};
use kpr_node_agent::{
    datapath::{
        Acceleration, Datapath, Dsr, DsrDispatch, Options, PortRange, Settings, Side, Sizes, SocketLb, TcChoice, Trial,
    },
    devices::Device,
    plan::{Op, SlotRun},
};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    sched::{CloneFlags, unshare},
};
use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

pub(crate) const NODE: Ipv4Addr = Ipv4Addr::new(192, 168, 49, 2);
pub(crate) const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 49, 100);
pub(crate) const LOCAL_POD: Ipv4Addr = Ipv4Addr::new(10, 244, 0, 3);
pub(crate) const REMOTE_POD: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 2);
pub(crate) const NODE6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x49, 0, 0, 0, 0, 0, 2);
pub(crate) const CLIENT6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x49, 0, 0, 0, 0, 0, 0x100);
pub(crate) const LOCAL_POD6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x244, 0, 0, 0, 0, 0, 3);
pub(crate) const REMOTE_POD6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x244, 1, 0, 0, 0, 0, 2);
pub(crate) const NODE_PORT: u16 = 31_683;
pub(crate) const SNAT: PortRange = PortRange {
    min: 45_000,
    max: 65_535,
};

pub(crate) fn sizes() -> Sizes {
    Sizes {
        services: 1_024,
        slots: 4_096,
        backends: 1_024,
        flows: 65_536,
        peers: 1_024,
        affinity: 1_024,
    }
}

pub(crate) fn settings() -> Settings {
    Settings {
        node_ports: PortRange {
            min: 30_000,
            max: 32_767,
        },
        snat_ports: SNAT,
        socket_lb: SocketLb::All,
        bind_protection: true,
        dsr: Dsr::Off,
        dsr_dispatch: DsrDispatch::Geneve,
        least_connections: false,
        count_services: false,
        events: None,
        sizes: sizes(),
    }
}

/// The node. Each test thread has namespaces of its own, so that tests may run at the same time.
pub(crate) struct Rig {
    pub(crate) datapath: Option<Datapath>,
    pub(crate) options: Options,
    pub(crate) ifindex: u32,
    /// Map writes that setting the node up took.
    pub(crate) setup_writes: u64,
    directory: tempfile::TempDir,
    cgroup: PathBuf,
}

impl Rig {
    /// A node with eth0, a route to the other node's pods, and the datapath attached.
    pub(crate) fn new() -> Self {
        Self::with(&settings())
    }

    pub(crate) fn with(settings: &Settings) -> Self {
        Self::build(settings, TcChoice::Auto)
    }

    pub(crate) fn with_clsact() -> Self {
        Self::build(&settings(), TcChoice::Clsact)
    }

    fn build(settings: &Settings, tc: TcChoice) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("these tests need root");
        mount(
            None::<&str>,
            "/",
            None::<&str>,
            MsFlags::MS_REC | MsFlags::MS_PRIVATE,
            None::<&str>,
        )
        .unwrap();
        for command in [
            "ip link set lo up",
            // The destination of the frames that tests make.
            "ip link add eth0 address 02:00:00:00:00:01 type veth peer name wire",
            "ip addr add 192.168.49.2/24 dev eth0",
            "ip link set eth0 up",
            "ip link set wire up",
            "ip route add default via 192.168.49.100",
            "ip route add 10.244.1.0/24 via 192.168.49.3",
            "ip link add pod type veth peer name pod-end",
            "ip link set pod up",
            "ip link set pod-end up",
            "ip route add 10.244.0.0/24 dev pod",
            "ip -6 addr add fd00:49::2/64 dev eth0 nodad",
            "ip -6 route add default via fd00:49::100",
            "ip -6 route add fd00:244:1::/64 via fd00:49::3",
            "ip -6 route add fd00:244:0::/64 dev pod",
        ] {
            run(command);
        }
        fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        let directory = tempfile::Builder::new().prefix("kpr-packets-").tempdir().unwrap();
        let bpffs = directory.path().join("bpf");
        fs::create_dir(&bpffs).unwrap();
        mount(Some("bpf"), &bpffs, Some("bpf"), MsFlags::empty(), None::<&str>).unwrap();
        let cgroup = kpr_node_agent::datapath::cgroup2_mount()
            .expect("cgroup2 is mounted")
            .join(format!(
                "kpr-packets-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ));
        fs::create_dir(&cgroup).unwrap();
        let options = Options {
            cgroup_root: cgroup.clone(),
            bpffs_root: bpffs.join("kpr"),
            run_dir: directory.path().join("run"),
            sysctl_root: "/proc/sys".into(),
            tc,
        };
        let ifindex = nix::net::if_::if_nametoindex("eth0").unwrap();
        let mut rig = Self {
            datapath: None,
            options,
            ifindex,
            setup_writes: 0,
            directory,
            cgroup,
        };
        rig.start(settings);
        rig
    }

    /// The node's external device.
    pub(crate) fn eth0(&self) -> Device {
        Device {
            name: "eth0".into(),
            ifindex: self.ifindex,
            addresses: vec![NODE.into()],
            has_default_route: true,
            up: true,
            kind: "veth".into(),
        }
    }

    /// Has XDP on these devices, and tells how each has it.
    pub(crate) fn accelerate(&mut self, devices: &[Device], wanted: Acceleration) -> Vec<String> {
        let datapath = self.datapath();
        datapath
            .accelerate(devices, wanted)
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        let report = datapath.report().acceleration.into_iter();
        report
            .map(|device| {
                let mode = device.mode.map_or_else(|why| why, |mode| mode.name().to_owned());
                format!("{}: {mode}", device.device)
            })
            .collect()
    }

    /// Starts a datapath on what is pinned, as a restarted agent does.
    pub(crate) fn start(&mut self, settings: &Settings) {
        let mut datapath = Datapath::start(&self.options, settings).unwrap_or_else(|error| panic!("{}", chain(&error)));
        let eth0 = self.eth0();
        let pod = Device {
            name: "pod".into(),
            ifindex: nix::net::if_::if_nametoindex("pod").unwrap(),
            addresses: Vec::new(),
            has_default_route: false,
            ..eth0.clone()
        };
        datapath
            .attach(&[eth0], &[pod])
            .unwrap_or_else(|error| panic!("{}", chain(&error)));
        datapath.v4_mut().set_local(&[(NODE, self.ifindex)], &[]).unwrap();
        datapath
            .v4_mut()
            .set_snat_source(Some(NODE), &[(self.ifindex, NODE)])
            .unwrap();
        datapath.v6_mut().set_local(&[(NODE6, self.ifindex)], &[]).unwrap();
        datapath
            .v6_mut()
            .set_snat_source(Some(NODE6), &[(self.ifindex, NODE6)])
            .unwrap();
        self.setup_writes = datapath.report().map_writes;
        self.datapath = Some(datapath);
    }

    pub(crate) fn datapath(&mut self) -> &mut Datapath {
        self.datapath.as_mut().expect("the datapath was started")
    }

    /// Programs one frontend that leads to these backends, at slots from `base` and with ids from `base + 1`.
    pub(crate) fn serve(&mut self, frontend: Frontend, base: u32, backends: &[Backend]) {
        let (mut all, mut local) = (Vec::new(), Vec::new());
        for (id, backend) in (base + 1..).zip(backends) {
            let value = backend.value(frontend.proto);
            self.datapath().v4_mut().apply(&Op::PutBackend { id, value }).unwrap();
            all.push(id);
            if value.flags & backend::flags::LOCAL != 0 {
                local.push(id);
            }
        }
        let count = |ids: &[u32]| u32::try_from(ids.len()).unwrap();
        let cluster = Slice { base, len: count(&all) };
        let local_slice = Slice {
            base: base + cluster.len,
            len: count(&local),
        };
        for (base, ids) in [(cluster.base, all), (local_slice.base, local)] {
            if !ids.is_empty() {
                let run = SlotRun::list(ids);
                self.datapath().v4_mut().apply(&Op::PutSlots { base, run }).unwrap();
            }
        }
        let has_endpoints = if backends.is_empty() { 0 } else { flags::HAS_ENDPOINTS };
        let value = ServiceValue {
            id: base + 1,
            flags: frontend.flags | has_endpoints,
            cluster,
            local: local_slice,
            affinity_seconds: frontend.affinity.map_or(0, |(seconds, _)| seconds),
            affinity_group: frontend.affinity.map_or(base + 1, |(_, group)| group),
        };
        self.datapath()
            .v4_mut()
            .apply(&Op::PutService {
                key: frontend.key(),
                value,
            })
            .unwrap();
    }

    /// Switches a frontend to a fresh slice at `base` of backends that are there already.
    pub(crate) fn republish(&mut self, frontend: Frontend, base: u32, ids: Vec<u32>) {
        let len = u32::try_from(ids.len()).unwrap();
        let tables = self.datapath().v4_mut();
        let run = SlotRun::list(ids);
        tables.apply(&Op::PutSlots { base, run }).unwrap();
        let cluster = Slice { base, len };
        let (affinity_seconds, affinity_group) = frontend.affinity.unwrap_or_default();
        let flags = frontend.flags | flags::HAS_ENDPOINTS;
        let value = ServiceValue {
            id: 1,
            flags,
            cluster,
            local: cluster,
            affinity_seconds,
            affinity_group,
        };
        tables
            .apply(&Op::PutService {
                key: frontend.key(),
                value,
            })
            .unwrap();
    }

    /// Programs an IPv6 NodePort that leads to one backend, port 80.
    pub(crate) fn serve6(&mut self, proto: u8, addr: Ipv6Addr, local: bool) {
        self.serve6_by(proto, addr, if local { backend::flags::LOCAL } else { 0 });
    }

    /// The same, with flags of the backend.
    pub(crate) fn serve6_by(&mut self, proto: u8, addr: Ipv6Addr, flags: u8) {
        let local = flags & backend::flags::LOCAL != 0;
        let tables = self.datapath().v6_mut();
        let value = BackendValue {
            addr: addr.into(),
            port: Be16::new(80),
            proto,
            flags,
        };
        tables.apply(&Op::PutBackend { id: 1, value }).unwrap();
        let run = SlotRun::list([1]);
        tables.apply(&Op::PutSlots { base: 0, run }).unwrap();
        let slice = Slice { base: 0, len: 1 };
        let value = ServiceValue {
            id: 1,
            flags: flags::NODE_PORT | flags::HAS_ENDPOINTS,
            cluster: slice,
            local: if local { slice } else { Slice::default() },
            ..ServiceValue::default()
        };
        let key = ServiceKey::new(Ipv6Addr::UNSPECIFIED.into(), Be16::new(NODE_PORT), proto);
        tables.apply(&Op::PutService { key, value }).unwrap();
    }

    pub(crate) fn ingress(&mut self, packet: &[u8]) -> Trial {
        let ifindex = self.ifindex;
        self.datapath().trial(Side::Ingress, packet, ifindex).unwrap()
    }

    /// A frame that XDP sees first.
    pub(crate) fn xdp(&mut self, frame: &[u8]) -> Trial {
        let ifindex = self.ifindex;
        self.xdp_at(frame, ifindex)
    }

    /// The same, by another device.
    pub(crate) fn xdp_at(&mut self, frame: &[u8], ifindex: u32) -> Trial {
        let datapath = self.datapath();
        datapath
            .trial_xdp(frame, ifindex)
            .unwrap_or_else(|error| panic!("{}", chain(&error)))
    }

    /// A packet that a pod of this node sends.
    pub(crate) fn pod_sends(&mut self, packet: &[u8]) -> Trial {
        let ifindex = nix::net::if_::if_nametoindex("pod").unwrap();
        self.datapath().trial(Side::PodIngress, packet, ifindex).unwrap()
    }

    pub(crate) fn egress(&mut self, packet: &[u8]) -> Trial {
        let ifindex = self.ifindex;
        self.datapath().trial(Side::Egress, packet, ifindex).unwrap()
    }

    /// How often something happened so far.
    pub(crate) fn count(&mut self, reason: kpr_abi::Reason) -> u64 {
        let report = self.datapath().report();
        report
            .counters
            .iter()
            .find(|counter| counter.reason == reason.name())
            .map_or(0, |counter| counter.count)
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.datapath = None;
        let removed = Datapath::remove(&self.options);
        let _ = umount2(&self.directory.path().join("bpf"), MntFlags::MNT_DETACH);
        let _ = fs::remove_dir(&self.cgroup);
        if !std::thread::panicking() {
            removed.unwrap();
        }
    }
}

/// A frontend as tests name it.
#[derive(Clone, Copy)]
pub(crate) struct Frontend {
    pub(crate) addr: Ipv4Addr,
    pub(crate) port: u16,
    pub(crate) proto: u8,
    pub(crate) flags: u32,
    /// Affinity time-out in seconds and group.
    pub(crate) affinity: Option<(u32, u32)>,
}

impl Frontend {
    pub(crate) fn node_port(proto: u8) -> Self {
        Self {
            addr: Ipv4Addr::UNSPECIFIED,
            port: NODE_PORT,
            proto,
            flags: flags::NODE_PORT,
            affinity: None,
        }
    }

    pub(crate) fn affinity(self, seconds: u32, group: u32) -> Self {
        Self {
            flags: self.flags | flags::AFFINITY,
            affinity: Some((seconds, group)),
            ..self
        }
    }

    pub(crate) fn external_local(self) -> Self {
        Self {
            flags: self.flags | flags::EXTERNAL_LOCAL,
            ..self
        }
    }

    pub(crate) fn key(&self) -> ServiceKey<<V4 as kpr_abi::Family>::Addr> {
        ServiceKey::new(self.addr.into(), Be16::new(self.port), self.proto)
    }
}

/// A backend as tests name it; its port is 80.
#[derive(Clone, Copy)]
pub(crate) enum Backend {
    Local(Ipv4Addr),
    Remote(Ipv4Addr),
    /// On another node, which takes encapsulated packets.
    Dsr(Ipv4Addr),
}

impl Backend {
    pub(crate) fn value(self, proto: u8) -> BackendValue<kpr_abi::Addr4> {
        let (addr, flags) = match self {
            Self::Local(addr) => (addr, backend::flags::LOCAL),
            Self::Remote(addr) => (addr, 0),
            Self::Dsr(addr) => (addr, backend::flags::DSR),
        };
        BackendValue {
            addr: addr.into(),
            port: Be16::new(80),
            proto,
            flags,
        }
    }
}

pub(crate) const TCP: u8 = proto::TCP;
pub(crate) const UDP: u8 = proto::UDP;
pub(crate) const SCTP: u8 = proto::SCTP;

pub(crate) fn run(command: &str) {
    let mut words = command.split(' ');
    let status = Command::new(words.next().unwrap()).args(words).status().unwrap();
    assert!(status.success(), "{command}");
}

/// An error with its causes: a verifier's log is one.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
