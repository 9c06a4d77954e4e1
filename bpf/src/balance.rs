//! The load balancer: from a destination to a backend. The same for sockets and packets, tc and XDP, IPv4 and IPv6.

use crate::{config, maps::Tables};
use kpr_abi::{Address, BackendValue, Be16, Reason, ServiceKey, ServiceValue, Slice};

/// The frontend of exactly this address and port.
#[inline(always)]
pub fn frontend<F: Tables>(addr: F::Addr, port: Be16, proto: u8) -> Option<*const ServiceValue> {
    F::services().get_ptr(ServiceKey::new(addr, port, proto))
}

/// The NodePort frontend of this port. The caller has seen that the address is the node's own.
#[inline(always)]
pub fn node_port<F: Tables>(port: Be16, proto: u8) -> Option<*const ServiceValue> {
    frontend::<F>(F::Addr::ANY, port, proto)
}

/// Whether the address is one of this node's that serve NodePorts.
#[inline(always)]
pub fn is_local<F: Tables>(addr: F::Addr) -> bool {
    F::local().get_ptr(addr).is_some()
}

/// The backend that `number` draws from the slice: its id and its value. The slice isn't empty.
#[inline(always)]
pub fn draw<F: Tables>(slice: Slice, number: u32) -> Result<(u32, BackendValue<F::Addr>), Reason> {
    let id = *F::slots()
        .get(slice.base + number % slice.len)
        .ok_or(Reason::DropInconsistent)?;
    let backend = backend::<F>(id).ok_or(Reason::DropInconsistent)?;
    Ok((id, backend))
}

/// The backend of this id, if it is in use.
#[inline(always)]
pub fn backend<F: Tables>(id: u32) -> Option<BackendValue<F::Addr>> {
    let backend = *F::backends().get(id)?;
    if backend.proto == 0 { None } else { Some(backend) }
}

/// Whether a flow's or socket's backend is still what it was when it was chosen: ids are used again.
#[inline(always)]
pub fn still_is<F: Tables>(id: u32, addr: F::Addr, port: Be16, proto: u8) -> bool {
    match F::backends().get(id) {
        Some(now) => now.addr == addr && now.port == port && now.proto == proto,
        None => false,
    }
}

/// Whether a NodePort could be meant by this port.
#[inline(always)]
pub fn may_be_node_port(port: Be16) -> bool {
    config::is_node_port(port)
}
