//! The load balancer: from a destination to a backend. The same for sockets and packets, tc and XDP, IPv4 and IPv6.

use crate::{clock, config, load, maps::Tables};
use aya_ebpf::maps::lpm_trie::Key;
use core::ptr::read_volatile;
use kpr_abi::{
    Address, AffinityKey, AffinityValue, BackendValue, Be16, Reason, ServiceKey, ServiceValue, Slice, SourceRange,
    StoredService, backend, filter, local, service::flags, source_range::ID_BITS,
};

/// Whether there may be a frontend of this key. Where it says no, which it does of nearly all that are none, there is none.
#[inline(always)]
pub fn may_be_frontend<F: Tables>(key: &ServiceKey<F::Addr>) -> bool {
    let (word, bit) = filter::place(key);
    F::filter().get(word).is_some_and(|bits| bits & bit != 0)
}

/// Whether there is a frontend of this key.
#[inline(always)]
pub fn has_frontend<F: Tables>(key: &ServiceKey<F::Addr>) -> bool {
    may_be_frontend::<F>(key) && F::services().get_ptr(key).is_some()
}

/// Reads the frontend of this key, if there is one.
#[inline(always)]
pub fn frontend<F: Tables>(key: &ServiceKey<F::Addr>, service: &mut ServiceValue) -> bool {
    /// What is read is torn only if the entry was replaced between look-up and read; the next look-up finds the new one.
    const TRIES: u32 = 3;
    let mut tried = 0;
    while tried < TRIES {
        let Some(stored) = F::services().get_ptr(key) else {
            return false;
        };
        // SAFETY: a map value that was just looked up. Volatile: what is checked must be what is used, and not be read again.
        let stored: StoredService = unsafe { read_volatile(stored) };
        if let Some(value) = stored.value(key) {
            *service = *value;
            return true;
        }
        tried += 1;
    }
    false
}

/// Reads the frontend that this port has on any address of the node, if the address is one of the node's that serve it.
#[inline(always)]
pub fn on_any_address<F: Tables>(addr: F::Addr, port: Be16, proto: u8, service: &mut ServiceValue) -> bool {
    let Some(own) = F::local().get_ptr(addr) else {
        return false;
    };
    // SAFETY: a map value that was just looked up.
    let own = unsafe { *own };
    frontend::<F>(&ServiceKey::new(F::Addr::ANY, port, proto), service)
        && (own & local::HOST_PORTS_ONLY == 0 || service.flags & flags::HOST_PORT != 0)
}

/// A slot, of as many as there are from the first one on: by chance in a list, by the flow's hash in the list's Maglev table.
#[derive(Clone, Copy)]
pub struct Draw {
    /// The slots, of which there is at least one.
    pub from: Slice,
    /// Modulo how many there are.
    pub number: u32,
    /// Whether another one may be taken that has fewer connections: a list's, and not a table's.
    pub by_load: bool,
}

/// The backend that is drawn: its id and its value.
#[inline(always)]
fn draw<F: Tables>(Draw { from, number, by_load }: Draw) -> Result<(u32, BackendValue<F::Addr>), Reason> {
    let mut id = slot::<F>(from, number)?;
    if by_load && load::counts() {
        // The better of two (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing"). Of the number's other half, spread.
        let other = number.rotate_left(16).wrapping_mul(0x9e37_79b9);
        id = load::lighter::<F>(id, slot::<F>(from, other)?);
    }
    let backend = backend::<F>(id).ok_or(Reason::DropInconsistent)?;
    Ok((id, backend))
}

/// The backend's id in the slot of this number.
#[inline(always)]
fn slot<F: Tables>(from: Slice, number: u32) -> Result<u32, Reason> {
    let id = F::slots().get(from.base + number % from.len);
    id.copied().ok_or(Reason::DropInconsistent)
}

/// The backend for a client of the service: its last one where affinity asks for it and it may still be used, else the one
/// that is drawn from the slice or its Maglev table.
#[inline(always)]
pub fn choose<F: Tables>(
    service: &ServiceValue,
    slice: Slice,
    mut client: AffinityKey<F::Addr>,
    drawn: Draw,
) -> Result<(u32, BackendValue<F::Addr>), Reason> {
    if service.flags & flags::AFFINITY == 0 {
        return draw::<F>(drawn);
    }
    client.group = service.affinity_group;
    let now = clock::now();
    if let Some(last) = F::affinity().get_ptr_mut(client) {
        // SAFETY: a map value that was just looked up; its words are written one by one.
        let (id, last_used) = unsafe { ((*last).backend, (*last).last_used) };
        if now.wrapping_sub(last_used) <= service.affinity_seconds
            && contains::<F>(slice, id)
            && let Some(backend) = backend::<F>(id)
        {
            // SAFETY: as above.
            unsafe { (*last).last_used = now };
            return Ok((id, backend));
        }
    }
    let (id, backend) = draw::<F>(drawn)?;
    // A full table forgets its oldest client: that one is balanced anew.
    let _ = F::affinity().insert(
        client,
        AffinityValue {
            backend: id,
            last_used: now,
        },
        0,
    );
    Ok((id, backend))
}

/// Whether a backend is in the slice: ids ascend, so halving finds it.
#[inline(always)]
fn contains<F: Tables>(slice: Slice, id: u32) -> bool {
    /// Enough for any slice of a table of 2^20 slots.
    const STEPS: u32 = 21;
    let (mut low, mut high) = (0, slice.len);
    let mut step = 0;
    while step < STEPS && low < high {
        let middle = low + ((high - low) >> 1);
        let Some(found) = F::slots().get(slice.base.wrapping_add(middle)) else {
            return false;
        };
        if *found == id {
            return true;
        }
        if *found < id {
            low = middle + 1;
        } else {
            high = middle;
        }
        step += 1;
    }
    false
}

/// Whether a client at this address may connect to the frontend.
#[inline(always)]
pub fn admits<F: Tables>(service: &ServiceValue, client: F::Addr) -> bool {
    if service.flags & flags::SOURCE_RANGES == 0 {
        return true;
    }
    let bits = ID_BITS + 8 * size_of::<F::Addr>() as u32;
    let data = SourceRange {
        service: service.id,
        addr: client,
    };
    F::source_ranges().get(Key::new(bits, data)).is_some()
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
    what_is::<F>(id, addr, port, proto).is_some()
}

/// The same, and some service leads to it.
#[inline(always)]
pub fn still_serves<F: Tables>(id: u32, addr: F::Addr, port: Be16, proto: u8) -> bool {
    what_is::<F>(id, addr, port, proto).is_some_and(|now| now.flags & backend::flags::GONE == 0)
}

#[inline(always)]
fn what_is<F: Tables>(id: u32, addr: F::Addr, port: Be16, proto: u8) -> Option<&'static BackendValue<F::Addr>> {
    let now = F::backends().get(id)?;
    (now.addr == addr && now.port == port && now.proto == proto).then_some(now)
}

/// Whether a frontend on any address of the node, a NodePort or a hostPort, could be meant by this port.
#[inline(always)]
pub fn may_be_on_any_address<F: Tables>(port: Be16, proto: u8) -> bool {
    config::is_node_port(port) || may_be_frontend::<F>(&ServiceKey::new(F::Addr::ANY, port, proto))
}
