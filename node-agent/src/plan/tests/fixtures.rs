//! Desired services with good defaults, in either family.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

use ipnet::IpNet;
use kpr_abi::{Be16, ServiceKey, TableSize, V4, V6};

use crate::{
    model::{Backend, DesiredService, Frontend, IpFamily, Kind, NamespacedName, Protocol, ServicePortName},
    plan::{Limits, Op, Plan, Planner, Scope},
};

pub(super) const ROOMY: Limits = Limits {
    services: 100,
    slots: 10_000,
    backends: 100,
    source_ranges: 100,
};

/// A family with numbered addresses.
pub(super) trait Numbered: IpFamily {
    fn ip(net: u8, n: u8) -> Self::Ip;
}

impl Numbered for V4 {
    fn ip(net: u8, n: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, net, 0, n)
    }
}

impl Numbered for V6 {
    fn ip(net: u8, n: u8) -> Ipv6Addr {
        Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, n.into())
    }
}

pub(super) fn key<F: Numbered>(n: u8) -> ServiceKey<F::Addr> {
    ServiceKey::new(F::Addr::from(F::ip(96, n)), Be16::new(80), Protocol::Tcp.number())
}

pub(super) fn node_port_key<F: Numbered>(port: u16) -> ServiceKey<F::Addr> {
    ServiceKey::new(F::Addr::default(), Be16::new(port), Protocol::Tcp.number())
}

pub(super) fn backend<F: Numbered>(n: u8) -> Backend<F> {
    Backend {
        addr: F::ip(244, n),
        port: 8080,
        protocol: Protocol::Tcp,
        local: false,
        terminating: false,
        dsr: false,
    }
}

pub(super) fn name(n: u8) -> NamespacedName {
    NamespacedName::new("default", format!("s{n}"))
}

/// Service `s<n>` with one ClusterIP and these backends.
pub(super) fn service<F: Numbered>(n: u8, backends: &[u8]) -> DesiredService<F> {
    let frontend = Frontend {
        key: key::<F>(n),
        kind: Kind::ClusterIp,
        port: ServicePortName {
            service: name(n),
            port: "http".into(),
        },
        cluster: backends.iter().map(|&n| backend(n)).collect(),
        local: Arc::new([]),
        external_local: false,
        internal_local: false,
        affinity_seconds: 0,
        has_endpoints: !backends.is_empty(),
        source_ranges: Vec::new(),
        maglev: None,
    };
    DesiredService {
        name: name(n),
        frontends: vec![frontend],
        problems: Vec::new(),
    }
}

/// Service `s<n>`, gone.
pub(super) fn deleted<F: Numbered>(n: u8) -> DesiredService<F> {
    DesiredService {
        name: name(n),
        frontends: Vec::new(),
        problems: Vec::new(),
    }
}

/// Variations on [`service`].
pub(super) trait Variations<F: Numbered>: Sized {
    /// With the same backends on a NodePort.
    fn and_node_port(self, port: u16) -> Self;
    /// With these backends under policy `Local`.
    fn local(self, backends: &[u8]) -> Self;
    /// With Maglev tables of the smallest size on NodePorts.
    fn by_maglev(self) -> Self;
    /// With these source ranges, `fd00::/16` or `10.0.0.0/8` and the like, on every frontend.
    fn from(self, ranges: &[(F::Ip, u8)]) -> Self;
    /// With the backends of every list changed.
    fn backends(self, change: impl Fn(&mut Backend<F>)) -> Self;
}

impl<F: Numbered> Variations<F> for DesiredService<F> {
    fn and_node_port(mut self, port: u16) -> Self {
        let mut frontend = self.frontends[0].clone();
        frontend.key = node_port_key::<F>(port);
        frontend.kind = Kind::NodePort;
        self.frontends.push(frontend);
        self
    }

    fn local(mut self, backends: &[u8]) -> Self {
        let local: Arc<[_]> = backends.iter().map(|&n| backend(n)).collect();
        for frontend in &mut self.frontends {
            frontend.local = Arc::clone(&local);
        }
        self
    }

    fn by_maglev(mut self) -> Self {
        for frontend in &mut self.frontends {
            frontend.maglev = Some(TableSize::ALL[0]).filter(|_| frontend.kind.is_shared_by_nodes());
        }
        self
    }

    fn from(mut self, ranges: &[(F::Ip, u8)]) -> Self {
        let ranges = ranges
            .iter()
            .map(|&(ip, bits)| IpNet::new(ip.into(), bits).expect("a prefix length"));
        let ranges: Vec<_> = ranges.collect();
        for frontend in &mut self.frontends {
            frontend.source_ranges.clone_from(&ranges);
        }
        self
    }

    fn backends(mut self, change: impl Fn(&mut Backend<F>)) -> Self {
        let changed = |list: &[Backend<F>]| {
            let backends = list.iter().map(|backend| {
                let mut backend = *backend;
                change(&mut backend);
                backend
            });
            backends.collect()
        };
        for frontend in &mut self.frontends {
            frontend.cluster = changed(&frontend.cluster);
            frontend.local = changed(&frontend.local);
        }
        self
    }
}

/// Plans changed services, and records all of it.
pub(super) fn carry_out<F: IpFamily>(planner: &mut Planner<F>, desired: &[DesiredService<F>]) -> Plan<F> {
    let plan = planner.plan(Scope::Changed, desired);
    plan.ops.iter().for_each(|op| planner.record(op));
    plan
}

/// A grace period passes.
pub(super) fn grace<F: IpFamily>(planner: &mut Planner<F>) {
    if let Some(generation) = planner.seal() {
        planner.release(generation);
    }
}

fn shown<F: IpFamily>(addr: F::Addr) -> String {
    let ip: F::Ip = addr.into();
    ip.to_string()
}

/// What a plan does, one word each: `backend 1`, `slots 0..2 [1, 2]`, `service`, `delete`, `clear 1`.
pub(super) fn words<F: IpFamily>(plan: &Plan<F>) -> Vec<String> {
    let word = |op: &Op<F>| match op {
        Op::PutBackend { id, .. } => format!("backend {id}"),
        Op::PutSlots { base, run } => match run.slots().len() - run.ids().len() {
            0 => format!("slots {base} {:?}", run.ids()),
            table => format!("slots {base} {:?} and a table of {table}", run.ids()),
        },
        Op::PutService { value, .. } => format!(
            "service {} cluster {}+{} local {}+{}",
            value.id, value.cluster.base, value.cluster.len, value.local.base, value.local.len
        ),
        Op::PutRange { range } => format!("admit {}/{} to {}", shown::<F>(range.addr), range.bits, range.service),
        Op::DeleteRange { range } => format!(
            "shut {}/{} out of {}",
            shown::<F>(range.addr),
            range.bits,
            range.service
        ),
        Op::DeleteService { .. } => "delete".into(),
        Op::ClearBackend { id } => format!("clear {id}"),
    };
    plan.ops.iter().map(word).collect()
}
