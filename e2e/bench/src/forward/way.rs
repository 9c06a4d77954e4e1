//! What stands on a node between the client and the backend.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::{Context as _, Result, ensure};
use kpr_abi::{Addr4, FlowKey, FlowValue, Reason, proto, service::flags};
use kpr_cluster::{
    kube_proxy::{
        KubeProxyMode,
        desired::{Protocol, ServicePort, generate},
    },
    net::UPLINK,
    testbed::Host,
};
use kpr_node_agent::datapath::{Acceleration, Pins, Sizes};
use nix::net::if_::if_nametoindex;

use super::{
    cable::Cable,
    flows::{self, FLOWS, NODE, NODE_PORT},
};
use crate::{
    connect::services,
    node::{Node, place, uplink},
    rules::Rules,
};

/// How many Services there are beside the one with the NodePort.
const SERVICES: u32 = 1_000;

/// One of the ways of forwarding that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// kpr, in XDP.
    Xdp,
    /// The floor's program: the same parse, one hash look-up, the same packet changes and the same way out.
    Floor,
    /// The same without a look-up of the route.
    Bare,
    /// kpr, in tc alone.
    Tc,
    /// The floor's program in tc.
    TcFloor,
    /// The same without a look-up of the route.
    TcBare,
    /// Rules in the shape of kube-proxy's.
    Rules(KubeProxyMode),
}

impl Way {
    /// All of them; the floor's programs get their flows from kpr, which comes first.
    pub(super) const ALL: [Self; 8] = [
        Self::Xdp,
        Self::Tc,
        Self::Floor,
        Self::Bare,
        Self::TcFloor,
        Self::TcBare,
        Self::Rules(KubeProxyMode::Iptables),
        Self::Rules(KubeProxyMode::Nftables),
    ];
}

/// One of them as it is on a node.
pub(super) enum Laid {
    Kpr(Box<Kpr>),
    Floor,
    Rules,
}

/// The flows that kpr has begun.
pub(super) type Known = Vec<(FlowKey<Addr4>, FlowValue<Addr4>)>;

impl Laid {
    /// Puts it on a node. `known`: the flows for the floor's programs, which can't begin any.
    pub(super) async fn lay(
        way: Way,
        host: &Host,
        cable: &mut Cable,
        backend: SocketAddrV4,
        known: Option<&Known>,
    ) -> Result<Self> {
        let mut floor = |name| {
            let known = known.context("nobody has begun flows")?;
            cable.put_floor(name, &host.netns, UPLINK, known)?;
            Ok(Self::Floor)
        };
        match way {
            Way::Xdp => Ok(Self::Kpr(Box::new(Kpr::start(host, backend, Acceleration::Native)?))),
            Way::Tc => Ok(Self::Kpr(Box::new(Kpr::start(host, backend, Acceleration::Disabled)?))),
            Way::Floor => floor("floor_xdp_udp"),
            Way::Bare => floor("floor_xdp_bare"),
            Way::TcFloor => floor("floor_udp"),
            Way::TcBare => floor("floor_bare"),
            Way::Rules(mode) => {
                let mut ports: Vec<_> = generate(SERVICES, 1).collect();
                ports.push(node_port(backend));
                let mut rules = Rules::new(host, mode)?;
                rules.load(&ports).await?;
                Ok(Self::Rules)
            }
        }
    }

    /// The flows that it has begun, if it can tell.
    pub(super) fn known(&self) -> Result<Option<Known>> {
        match self {
            Self::Kpr(kpr) => flows::known(&Pins::new(&kpr.node.options().bpffs_root)).map(Some),
            Self::Floor | Self::Rules => Ok(None),
        }
    }

    /// Sees to it that so many datagrams of known flows took this way since it was last asked, and no other one.
    pub(super) fn check(&mut self, host: &Host, datagrams: u64) -> Result<()> {
        if let Self::Kpr(kpr) = self {
            kpr.check(datagrams)?;
        }
        // Only rules leave their packets to the stack, where connections are tracked.
        let tracked: u32 = host.netns.run(|| {
            let count = std::fs::read_to_string("/proc/sys/net/netfilter/nf_conntrack_count")?;
            Ok(count.trim().parse()?)
        })?;
        let is_tracked = matches!(self, Self::Rules);
        ensure!(
            (tracked >= FLOWS) == is_tracked,
            "the node's netfilter has {tracked} connections"
        );
        Ok(())
    }
}

/// kpr's datapath.
pub(super) struct Kpr {
    node: Node,
    accelerated: bool,
    /// What was counted so far.
    counted: Vec<(String, u64)>,
}

impl Kpr {
    fn start(host: &Host, backend: SocketAddrV4, acceleration: Acceleration) -> Result<Self> {
        host.netns.run(|| {
            let ifindex = if_nametoindex(UPLINK)?;
            let uplink = uplink(ifindex, NODE);
            let mut node = Node::start(host, SIZES)?;
            let datapath = node.datapath()?;
            datapath.attach(std::slice::from_ref(&uplink), &[])?;
            datapath.accelerate(&[uplink], acceleration)?;
            place(datapath, ifindex, NODE)?;
            services::program(datapath, SERVICES, backend)?;
            let node_port = (SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, NODE_PORT), proto::UDP);
            services::put(datapath, SERVICES + 1, node_port, flags::NODE_PORT, backend)?;
            let attachments = datapath.report().attachments;
            let accelerated = acceleration != Acceleration::Disabled;
            ensure!(
                attachments.iter().any(|attachment| attachment.hook == "xdp/native") == accelerated,
                "XDP is not on the device as it should be: {attachments:?}"
            );
            Ok(Self {
                node,
                accelerated,
                counted: Vec::new(),
            })
        })
    }

    /// Nothing is counted of a datagram of a known flow but that XDP sends it.
    fn check(&mut self, datagrams: u64) -> Result<()> {
        let counters = self.node.datapath()?.report().counters;
        let now: Vec<(String, u64)> = counters
            .into_iter()
            .map(|counter| (counter.reason.to_owned(), counter.count))
            .collect();
        for (reason, count) in &now {
            let before = self.counted.iter().find(|(name, _)| name == reason);
            let Some((_, before)) = before else { continue };
            let is_sent = self.accelerated && reason == Reason::XdpForwarded.name();
            let (counted, expected) = (count - before, if is_sent { datagrams } else { 0 });
            ensure!(
                counted == expected,
                "{reason} was counted {counted} times, and not {expected}"
            );
        }
        self.counted = now;
        Ok(())
    }
}

const SIZES: Sizes = Sizes {
    services: 4 * SERVICES,
    slots: 4 * SERVICES,
    backends: 4 * SERVICES,
    flows: 16 * FLOWS,
    peers: 1_024,
    affinity: 1_024,
};

/// The NodePort, for rules.
fn node_port(backend: SocketAddrV4) -> ServicePort {
    let mut port = ServicePort::named("generated", "forwarded", "");
    port.protocol = Protocol::Udp;
    port.cluster_ip = [10, 96, 0, 20].into();
    port.node_port = Some(NODE_PORT);
    port.endpoints.cluster = vec![backend.into()];
    port
}
