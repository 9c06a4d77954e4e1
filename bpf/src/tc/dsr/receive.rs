//! The backend's node: takes the outer headers off, and the packet for one that the client sent here.
//!
//! The steps read the packet anew: as one function they would need more stack than there is.

use super::{Tunnel, is_external, read, strip};
use crate::{
    balance, clock, counters, events, flow,
    maps::{Chosen, Tables},
    tc::{self, Handled, fragment, skb::Skb},
};
use aya_ebpf::programs::TcContext;
use kpr_abi::{
    Address, FlowValue, Reason, ServiceKey, ServiceValue, Slice,
    flow::{action, direction, state},
    service::flags,
};
use kpr_packet::{
    IcmpError, Parsed, Unparsed,
    encap::{Dispatch, Outer},
};

/// Most endpoints of one Service on one node that are looked through; the kubelet's own limit of pods is 110.
const BACKENDS: u32 = 512;

/// Handles an encapsulated packet: of a flow that is known, or about one. Another begins one, for [`admit`].
#[inline(always)]
pub fn receive<F: Tunnel>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut outer = Outer::default();
    let mut parsed = Parsed::default();
    match read::<F>(ctx, l3, &mut outer, &mut parsed) {
        Ok(()) => {}
        Err(Unparsed::Icmp) => return Ok(Handled::ReportsInside),
        // Somebody else's.
        Err(_) => return Ok(Handled::NotOurs),
    }
    if !fragment::track::<F>(&mut parsed)? {
        return Ok(Handled::NotOurs);
    }
    let Some(value) = flow::lookup::<F>(&parsed.key, parsed.signals) else {
        return Ok(Handled::BeginsInside);
    };
    if flow::is_passed(&value) && value.dst == outer.dst {
        if flow::may_continue::<F>(&parsed.key, &value, parsed.signals) {
            strip::<F>(ctx, outer.dispatch)?;
            return Ok(Handled::Begun);
        }
    } else if flow::is_tunnelled(&value) {
        // What this node has encapsulated itself.
        return Ok(if value.dst == outer.src && value.src == outer.dst {
            Handled::CameBack
        } else {
            Handled::NotOurs
        });
    }
    if !flow::is_first(parsed.signals) {
        return Err(Reason::DropDsrUnknown);
    }
    // Of an earlier connection with the same tuple.
    flow::remove::<F>(&parsed.key, &value);
    Ok(Handled::BeginsInside)
}

/// Handles an ICMP error about an answer that this node has sent the client: takes the outer headers off, and leaves the rest to
/// [`crate::tc::icmp`].
#[inline(always)]
pub fn report<F: Tunnel>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let skb = Skb(ctx);
    skb.make_linear(super::HEADERS);
    let mut outer = Outer::default();
    let mut report = IcmpError::default();
    if F::read_outer(&skb, l3, &mut outer).is_err() {
        return Ok(Handled::NotOurs);
    }
    let read = match outer.dispatch {
        Dispatch::Ipip => F::parse_error(&skb, l3 + F::overhead(Dispatch::Ipip), &mut report),
        Dispatch::Geneve => F::parse_error(&skb, l3 + F::overhead(Dispatch::Geneve), &mut report),
    };
    report.answer.direction = direction::FORWARD;
    match flow::peek::<F>(&report.answer) {
        Some(value) if read.is_ok() && flow::is_passed(&value) && value.dst == outer.dst => {
            strip::<F>(ctx, outer.dispatch)?;
            Ok(Handled::Icmp)
        }
        _ => Ok(Handled::NotOurs),
    }
}

/// Begins a flow with an encapsulated packet that [`receive`] has looked at, if this node knows its frontend, and its backend is here.
/// Then it is for [`accept`].
///
/// The node that sent it has looked at the connection's state: so any packet may begin a flow here, where the one before was forgotten.
#[inline(always)]
pub fn admit<F: Tunnel>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut outer = Outer::default();
    let mut parsed = Parsed::default();
    if read::<F>(ctx, l3, &mut outer, &mut parsed).is_err() || !fragment::track::<F>(&mut parsed)? {
        return Ok(Handled::NotOurs);
    }
    let mut service = ServiceValue::default();
    if !frontend::<F>(&parsed, &mut service) {
        return Ok(match outer.dispatch {
            // Anybody's.
            Dispatch::Ipip => Handled::NotOurs,
            Dispatch::Geneve => Handled::SendsBack,
        });
    }
    events::frontend(&service, true);
    events::candidates(service.local);
    let (backend, port) = local::<F>(service.local, outer.dst);
    if backend == 0 {
        return Ok(Handled::SendsBack);
    }
    if !balance::admits::<F>(&service, parsed.key.src) {
        return Err(Reason::DropSourceRange);
    }
    tc::keep::<F>(Chosen {
        key: parsed.key,
        value: FlowValue {
            src: parsed.key.src,
            dst: outer.dst,
            sport: parsed.key.sport,
            dport: port,
            backend,
            last_seen: clock::now(),
            state: flow::state_of(parsed.signals) | state::ENCAPSULATED,
            action: action::PASS,
            device: 0,
            ..FlowValue::default()
        },
        // A NodePort that no flow could be made for is refused in the frontend's name: it is another node's address.
        service_flags: service.flags & !flags::NODE_PORT,
        backend_flags: kpr_abi::backend::flags::LOCAL.into(),
        class: parsed.class.into(),
        length: 0,
    })?;
    Ok(Handled::Admitted)
}

/// Reads the frontend that the client asked at another node: a NodePort is one on any address there.
#[inline(always)]
fn frontend<F: Tables>(parsed: &Parsed<F::Addr>, service: &mut ServiceValue) -> bool {
    let key = &parsed.key;
    let is_known = balance::frontend::<F>(&ServiceKey::new(key.dst, key.dport, key.proto), service)
        || balance::frontend::<F>(&ServiceKey::new(F::Addr::ANY, key.dport, key.proto), service);
    // A hostPort's backend is on the node that was asked.
    is_known && service.flags & flags::HOST_PORT == 0
}

/// Id and port of the backend of this address, among those on this node; id 0 if there is none.
#[inline(always)]
fn local<F: Tables>(slice: Slice, addr: F::Addr) -> (u32, kpr_abi::Be16) {
    let mut at = 0;
    while at < BACKENDS && at < slice.len {
        let Some(id) = F::slots().get(slice.base.wrapping_add(at)) else {
            break;
        };
        if let Some(backend) = balance::backend::<F>(*id)
            && backend.addr == addr
        {
            return (*id, backend.port);
        }
        at += 1;
    }
    (0, kpr_abi::Be16(0))
}

/// Takes the outer headers off a packet that [`admit`] has let in, if the answers will pass this node's programs on their way to the
/// client. A client on this very node would get them past these: its packet goes back.
#[inline(always)]
pub fn accept<F: Tunnel>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let scratch = F::chosen().get_ptr_mut(0).ok_or(Reason::DropInconsistent)?;
    // SAFETY: this CPU's own entry, which `admit` has written for this packet.
    let chosen = unsafe { &mut *scratch };
    let answer = FlowValue {
        src: chosen.key.dst,
        dst: chosen.key.src,
        sport: chosen.key.dport,
        dport: chosen.key.sport,
        ..FlowValue::default()
    };
    match F::route(ctx, chosen.key.proto, chosen.class as u8, &answer) {
        Ok(way) if is_external::<F>(ctx, way.ifindex) => {
            // Answers leave by it, wherever the pod's own packets do.
            chosen.value.device = u16::try_from(way.ifindex).unwrap_or(0);
        }
        // In the middle of a connection, SNAT comes too late.
        _ if chosen.value.state & state::PAST_SYN != 0 => return Err(Reason::DropDsrUnknown),
        _ => return Ok(Handled::TurnsBack),
    }
    let mut outer = Outer::default();
    if F::read_outer(&Skb(ctx), l3, &mut outer).is_err() {
        return Ok(Handled::NotOurs);
    }
    strip::<F>(ctx, outer.dispatch)?;
    counters::count_packet(Reason::FlowFromDsr);
    Ok(Handled::Chosen)
}
