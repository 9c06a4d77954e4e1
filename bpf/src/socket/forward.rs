//! From the service that a program asks for to the backend that its socket talks to.

use super::{
    address::{Addr, Call, SocketAddress},
    release,
};
use crate::{
    balance::{self, Draw},
    config, counters, events, load,
    maps::Tables,
    service_counts,
};
use aya_ebpf::helpers::bpf_get_prandom_u32;
use kpr_abi::{
    Address, AffinityKey, Be16, Cookie, Family, PeerKey, PeerValue, Reason, ServiceKey, ServiceValue, config::features,
    event::hook, proto, service::flags, socket::cookie,
};

/// A connect: TCP, and UDP sockets that get one peer for good.
#[inline(always)]
pub fn connect<S: SocketAddress>(ctx: &S::Call) -> Result<(), Reason> {
    let (Some(proto), Some(addr)) = (ctx.protocol(), S::read(ctx)) else {
        return Ok(());
    };
    let port = ctx.port();
    let mut service = ServiceValue::default();
    if !find::<S>(ctx, addr, port, proto, &mut service) {
        if proto == proto::UDP {
            forget::<S>(ctx, proto);
        }
        return Ok(());
    }
    // SAFETY: a helper without arguments.
    let number = unsafe { bpf_get_prandom_u32() };
    if load::counts() {
        // Connected again: to its last backend no more.
        forget::<S>(ctx, proto);
    }
    let peer = events::call::<S>(
        hook::CONNECT,
        ctx,
        (addr, port, proto),
        &service,
        choose::<S>(ctx, &service, addr, port, number, true),
    )?;
    let peer = PeerValue {
        frontend: addr,
        frontend_port: port,
        ..peer
    };
    // Not socket storage, which the kernel allocates: that costs more than all the rest here. The entry goes when the socket is closed,
    // so that the table does not evict those of live ones. The worst that an error costs is a socket that shows its backend.
    if S::Family::sockets().insert(number_of(ctx), peer, 0).is_ok() {
        load::began::<S::Family>(peer.backend_id);
    }
    service_counts::socket::<S::Family>(addr, port, proto);
    lead::<S>(ctx, &peer);
    Ok(())
}

/// One datagram of a UDP socket without a peer.
#[inline(always)]
pub fn sendmsg<S: SocketAddress>(ctx: &S::Call) -> Result<(), Reason> {
    let Some(addr) = S::read(ctx) else { return Ok(()) };
    let port = ctx.port();
    let mut service = ServiceValue::default();
    if !find::<S>(ctx, addr, port, proto::UDP, &mut service) {
        return Ok(());
    }
    let number = ctx.number();
    // The same socket gets the same backend for every datagram while the endpoints stay: what conntrack does for kube-proxy.
    // Cookies count up: Fibonacci hashing spreads neighbours.
    let draw = (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
    let peer = events::call::<S>(
        hook::SENDMSG,
        ctx,
        (addr, port, proto::UDP),
        &service,
        choose::<S>(ctx, &service, addr, port, draw, false),
    )?;
    let peer = PeerValue {
        frontend: addr,
        frontend_port: port,
        ..peer
    };
    if remember::<S>(cookie(number), &peer) {
        service_counts::socket::<S::Family>(addr, port, proto::UDP);
    }
    lead::<S>(ctx, &peer);
    Ok(())
}

/// Reads the frontend that the destination names, if it names one.
#[inline(always)]
fn find<S: SocketAddress>(ctx: &S::Call, addr: Addr<S>, port: Be16, proto: u8, service: &mut ServiceValue) -> bool {
    if config::has(features::HOST_NAMESPACE_ONLY) && !is_on_host(ctx) {
        return false;
    }
    let is_loopback = S::Family::is_loopback(addr);
    // Loopback is each namespace's own: only the node's leads to the node's ports.
    if is_loopback && !is_on_host(ctx) {
        return false;
    }
    let exact = ServiceKey::new(addr, port, proto);
    if balance::may_be_frontend::<S::Family>(&exact) && balance::frontend::<S::Family>(&exact, service) {
        // What address a pod's socket will have is not known yet: its packets are looked at, on the pod's device.
        return service.flags & flags::SOURCE_RANGES == 0 || is_on_host(ctx);
    }
    if !balance::may_be_on_any_address::<S::Family>(port, proto) {
        return false;
    }
    let own = if is_loopback { S::Family::LOOPBACK } else { addr };
    balance::on_any_address::<S::Family>(own, port, proto, service)
}

/// Whether the socket is in the node's own network namespace.
#[inline(always)]
fn is_on_host(ctx: &impl Call) -> bool {
    ctx.netns() == config::host_netns_cookie()
}

/// The backend for a socket of this node.
#[inline(always)]
fn choose<S: SocketAddress>(
    ctx: &S::Call,
    service: &ServiceValue,
    addr: Addr<S>,
    port: Be16,
    number: u32,
    by_load: bool,
) -> Result<PeerValue<Addr<S>>, Reason> {
    // `externalTrafficPolicy: Local` is for clients outside: pods and the node itself may use every endpoint.
    let slice = if service.flags & flags::INTERNAL_LOCAL == 0 {
        service.cluster
    } else {
        service.local
    };
    if slice.len == 0 {
        return Err(if service.flags & flags::HAS_ENDPOINTS == 0 {
            Reason::SocketNoEndpoint
        } else {
            Reason::SocketNoLocalEndpoint
        });
    }
    if service.flags & flags::SOURCE_RANGES != 0 && !own_address_is_admitted::<S::Family>(service) {
        return Err(Reason::SocketSourceRange);
    }
    let client = client::<S::Family>(ctx, service);
    // By chance, also where there is a Maglev table: a socket stays with its backend, whatever becomes of the list.
    let drawn = Draw {
        from: slice,
        number,
        by_load,
    };
    let (backend_id, backend) = balance::choose::<S::Family>(service, slice, client, drawn)?;
    Ok(PeerValue {
        frontend: addr,
        backend: backend.addr,
        frontend_port: port,
        backend_port: backend.port,
        backend_id,
    })
}

/// Whether the node's own address, as its packets leave, is in the frontend's source ranges.
#[inline(always)]
fn own_address_is_admitted<F: Tables>(service: &ServiceValue) -> bool {
    // SAFETY: a map value that was just looked up.
    F::snat_source()
        .get_ptr(0)
        .is_some_and(|own| balance::admits::<F>(service, unsafe { *own }))
}

/// Who a socket of this node is, where affinity asks: its pod. A pod's sockets may have any address or none yet, but share a
/// network namespace.
#[inline(always)]
fn client<F: Family>(ctx: &impl Call, service: &ServiceValue) -> AffinityKey<F::Addr> {
    let mut key = AffinityKey {
        client: F::Addr::ANY,
        netns: [0; 2],
        group: 0,
    };
    if service.flags & flags::AFFINITY != 0 {
        key.netns = cookie(ctx.netns());
    }
    key
}

/// The kernel's number of the socket that calls.
#[inline(always)]
pub fn number_of(ctx: &impl Call) -> Cookie {
    cookie(ctx.number())
}

/// Changes the call's destination to the backend.
#[inline(always)]
fn lead<S: SocketAddress>(ctx: &S::Call, peer: &PeerValue<Addr<S>>) {
    S::write(ctx, peer.backend);
    ctx.set_port(peer.backend_port);
    counters::count(Reason::SocketTranslated);
}

/// Remembers which frontend answers of the backend stand for. Whether that is new.
#[inline(always)]
fn remember<S: SocketAddress>(cookie: Cookie, peer: &PeerValue<Addr<S>>) -> bool {
    let key = peer_key::<S::Family>(cookie, peer.backend, peer.backend_port);
    let peers = <S::Family as Tables>::peers();
    if let Some(known) = peers.get_ptr(key) {
        // SAFETY: a map value that was just looked up.
        if unsafe { *known } == *peer {
            return false;
        }
    }
    // A full table evicts its oldest entry: the worst that an error costs is an answer that shows its backend.
    let _ = peers.insert(key, peer, 0);
    true
}

/// A socket that is connected to something else is no longer what it was.
#[inline(always)]
fn forget<S: SocketAddress>(ctx: &S::Call, proto: u8) {
    release::forget::<S::Family>(number_of(ctx), proto);
}

/// Key of a peer of an unconnected socket.
#[inline(always)]
pub fn peer_key<F: Family>(cookie: Cookie, addr: F::Addr, port: Be16) -> PeerKey<F::Addr> {
    PeerKey {
        cookie,
        addr,
        port,
        zero: 0,
    }
}
