//! The node that programs run on: kpr's datapath with ten thousand Services, and the floor's programs beside it.

use std::{net::Ipv4Addr, path::Path};

use anyhow::{Context as _, Result};
use aya::maps::{HashMap, Map, MapData, PerCpuArray};
use kpr_abi::{
    Addr4, BackendValue, Be16, FlowKey, FlowValue, Reason, ServiceKey, ServiceValue, Slice, backend, maps, proto,
    service::flags,
};
use kpr_cluster::{net::UPLINK, testbed::Host};
use kpr_node_agent::{
    datapath::{self, Acceleration, Pins},
    plan::{Op, SlotRun},
};
use nix::net::if_::if_nametoindex;

use super::{
    MANY,
    floor::{self, Floor},
    frame::NODE_MAC,
    traffic::{BACKEND_PORT, BACKENDS, LOCAL, NODE, REMOTE, backend},
};
use crate::node::{Node, place, uplink};

/// Services beside the two that packets are for.
const SERVICES: u32 = 10_000;
/// The first one's ClusterIP.
const FIRST_SERVICE: u32 = 0x0a60_8000; // 10.96.128.0
/// Room for flows: two entries for each of [`MANY`], and as much again, so that none is forgotten.
const FLOWS: u32 = 1 << 19;

/// Both sides.
pub(super) struct Rig {
    pub(super) node: Node,
    pub(super) floor: Floor,
    /// kpr's flows.
    pub(super) flows: HashMap<MapData, FlowKey<Addr4>, FlowValue<Addr4>>,
    counters: PerCpuArray<MapData, u64>,
}

impl Rig {
    /// Sets up the node; to be called in its network namespace.
    pub(super) fn build(host: &Host, object: &Path) -> Result<Self> {
        let mac = NODE_MAC.map(|byte| format!("{byte:02x}")).join(":");
        // Neighbours are known for good: a route look-up finds them, as it does where there is traffic.
        host.netns.ip(&[
            format!("link set {UPLINK} address {mac}"),
            format!("neigh replace 192.168.49.3 lladdr 02:00:00:00:00:03 dev {UPLINK} nud permanent"),
            format!("neigh replace 192.168.49.100 lladdr 02:00:00:00:00:64 dev {UPLINK} nud permanent"),
        ])?;
        let ifindex = if_nametoindex(UPLINK)?;
        let mut node = Node::start(
            host,
            datapath::Sizes {
                services: 2 * SERVICES,
                slots: 4_096,
                backends: 4_096,
                flows: FLOWS,
                peers: 1_024,
                affinity: 1_024,
            },
        )?;
        node.datapath()?
            .accelerate(&[uplink(ifindex, NODE)], Acceleration::Native)?;
        place(node.datapath()?, ifindex, NODE)?;
        let sizes = floor::Sizes {
            packets: MANY,
            frontends: 2 * SERVICES,
            backends: BACKENDS.into(),
            flows: FLOWS,
        };
        let floor = Floor::load(object, sizes, NODE.into(), ifindex)?;
        let pins = Pins::new(&node.options().bpffs_root);
        let open = |name| {
            let data = MapData::from_pin(pins.map(name)).with_context(|| format!("open {name}"))?;
            Map::from_map_data(data).with_context(|| format!("open {name}"))
        };
        let (flows, counters) = (open(maps::FLOWS4)?.try_into()?, open(maps::COUNTERS)?.try_into()?);
        let mut rig = Self {
            node,
            floor,
            flows,
            counters,
        };
        rig.serve()?;
        Ok(rig)
    }

    /// How often each [`Reason`] was counted.
    pub(super) fn counts(&self) -> Result<Vec<u64>> {
        let count = |reason: &Reason| Ok(self.counters.get(&(*reason as u32), 0)?.iter().sum());
        Reason::ALL.iter().map(count).collect()
    }

    /// Programs two NodePorts and many ClusterIPs on both sides.
    fn serve(&mut self) -> Result<()> {
        let [remote, local] = [false, true].map(|is_local| {
            let base = if is_local { u32::from(BACKENDS) } else { 0 };
            let slice = Slice {
                base,
                len: BACKENDS.into(),
            };
            (is_local, slice)
        });
        for (is_local, slice) in [remote, local] {
            let tables = self.node.datapath()?.v4_mut();
            let mut ids = Vec::new();
            for index in 0..BACKENDS {
                let id = slice.base + u32::from(index) + 1;
                let value = BackendValue {
                    addr: backend(index, is_local).into(),
                    port: Be16::new(BACKEND_PORT),
                    proto: proto::TCP,
                    flags: if is_local { backend::flags::LOCAL } else { 0 },
                };
                tables.apply(&Op::PutBackend { id, value })?;
                if !is_local {
                    self.floor.backends.set(index.into(), value, 0)?;
                }
                ids.push(id);
            }
            tables.apply(&Op::PutSlots {
                base: slice.base,
                run: SlotRun::list(ids),
            })?;
        }
        for (id, port, slice) in [(1, REMOTE.port(), remote.1), (2, LOCAL.port(), local.1)] {
            self.put(id, Ipv4Addr::UNSPECIFIED, port, flags::NODE_PORT, slice)?;
        }
        // The floor knows no NodePorts: a frontend is an address.
        let key = ServiceKey::new(Addr4::from(NODE), Be16::new(REMOTE.port()), proto::TCP);
        self.floor.frontends.insert(key, u32::from(BACKENDS), 0)?;
        for index in 0..SERVICES {
            let addr = Ipv4Addr::from(FIRST_SERVICE + index);
            self.put(3 + index, addr, BACKEND_PORT, flags::CLUSTER_IP, remote.1)?;
        }
        Ok(())
    }

    fn put(&mut self, id: u32, addr: Ipv4Addr, port: u16, kind: u32, slice: Slice) -> Result<()> {
        let key = ServiceKey::new(Addr4::from(addr), Be16::new(port), proto::TCP);
        let value = ServiceValue {
            id,
            flags: kind | flags::HAS_ENDPOINTS,
            cluster: slice,
            local: Slice::default(),
            affinity_seconds: 0,
            affinity_group: id,
        };
        self.node.datapath()?.v4_mut().apply(&Op::PutService { key, value })?;
        self.floor.frontends.insert(key, slice.len, 0)?;
        Ok(())
    }
}
