//! Services by the thousand in kpr's maps.

use std::net::{Ipv4Addr, SocketAddrV4};

use anyhow::Result;
use kpr_abi::{Addr4, BackendValue, Be16, ServiceKey, ServiceValue, Slice, proto, service::flags};
use kpr_node_agent::{
    datapath::Datapath,
    plan::{Op, SlotRun},
};

use crate::pods::PORT;

/// The Service that is connected to.
pub(crate) const CLUSTER_IP: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(10, 96, 0, 20), PORT);
/// First ClusterIP of the others.
const FIRST_SERVICE: u32 = 0x0a60_8000; // 10.96.128.0
/// First address of the others' backends: of pods that nobody has.
const FIRST_BACKEND: u32 = 0x0af5_0000; // 10.245.0.0

/// Programs so many Services with one backend each. One of them leads to `backend`. Those of a smaller number are among those of a
/// larger one.
pub(crate) fn program(datapath: &mut Datapath, services: u32, backend: SocketAddrV4) -> Result<()> {
    let others = (1..services).map(|index| {
        let addresses = [FIRST_SERVICE, FIRST_BACKEND].map(|first| Ipv4Addr::from(first + index));
        addresses.map(|address| SocketAddrV4::new(address, PORT))
    });
    for (id, [frontend, backend]) in (1..).zip([[CLUSTER_IP, backend]].into_iter().chain(others)) {
        put(datapath, id, (frontend, proto::TCP), flags::CLUSTER_IP, backend)?;
    }
    Ok(())
}

/// Programs a frontend of this kind with one backend, which has its protocol. `id`: of the Service, of the backend and of its slot.
pub(crate) fn put(
    datapath: &mut Datapath,
    id: u32,
    (frontend, proto): (SocketAddrV4, u8),
    kind: u32,
    backend: SocketAddrV4,
) -> Result<()> {
    let value = BackendValue {
        addr: Addr4::from(*backend.ip()),
        port: Be16::new(backend.port()),
        proto,
        flags: 0,
    };
    let tables = datapath.v4_mut();
    tables.apply(&Op::PutBackend { id, value })?;
    let run = SlotRun::list([id]);
    tables.apply(&Op::PutSlots { base: id, run })?;
    let key = ServiceKey::new(Addr4::from(*frontend.ip()), Be16::new(frontend.port()), proto);
    let value = ServiceValue {
        id,
        flags: kind | flags::HAS_ENDPOINTS,
        cluster: Slice { base: id, len: 1 },
        local: Slice::default(),
        affinity_seconds: 0,
        affinity_group: id,
    };
    tables.apply(&Op::PutService { key, value })?;
    Ok(())
}
