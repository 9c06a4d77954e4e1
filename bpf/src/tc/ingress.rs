//! Packets that come in: requests of clients, and replies of remote backends.
//!
//! A packet that is no service's mostly does not come here at all ([`crate::screen`]). Here it costs one look-up in a hash where its port may
//! be an SNAT port; one or two where it may be a NodePort or a hostPort, or where the filter of frontends can't tell; and one for TCP's first
//! packet.

use super::{ETHERNET, Handled, dsr, flow, fragment, keep, route, skb::Skb, translate, wire::Wire};
use crate::{
    balance::{self, Draw},
    clock, config, counters, events, load,
    maps::Chosen,
    service_counts,
};
use aya_ebpf::{helpers::bpf_get_prandom_u32, programs::TcContext};
use core::ptr::read_volatile;
use kpr_abi::{
    Address, AffinityKey, FlowValue, Reason, ServiceKey, ServiceValue, Slice, backend,
    config::features,
    flow::{action, direction, state},
    maglev,
    service::flags,
};
use kpr_packet::{Parsed, Unparsed};

/// Handles a packet of the family, one that came in by an external device or that a pod sent: all but beginning a flow.
#[inline(always)]
pub fn handle<F: Wire>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    // What does not parse has no ports: it is the stack's.
    let mut parsed = Parsed::default();
    match parse::<F>(ctx, l3, &mut parsed)? {
        Ok(()) => {}
        Err(Unparsed::Icmp) => return Ok(Handled::Icmp),
        Err(Unparsed::Encapsulated) if config::has(features::TUNNELS) => return Ok(Handled::Encapsulated),
        Err(_) => return Ok(Handled::NotOurs),
    }
    if dsr::is_encapsulated(ctx, &parsed) {
        return Ok(Handled::Encapsulated);
    }
    // Whatever listens on loopback is not for the network (CVE-2020-8558).
    if F::is_loopback(parsed.key.dst) {
        return Ok(Handled::NotOurs);
    }

    match known::<F>(&mut parsed)? {
        Ok(value) => translate::<F, true>(ctx, &parsed, &value),
        Err(handled) => Ok(handled),
    }
}

/// The flow that the packet is of, if it is known and may go on, or else what becomes of the packet. Leaves in the packet's key which way of
/// the flow it goes.
#[inline(always)]
fn known<F: Wire>(parsed: &mut Parsed<F::Addr>) -> Result<Result<FlowValue<F::Addr>, Handled>, Reason> {
    // Replies of remote backends come to a port of the SNAT range.
    if config::is_snat_port(parsed.key.dport) {
        parsed.key.direction = direction::REPLY;
        // Replies of local backends, and those to pods, are translated where they leave.
        if let Some(value) = flow::lookup::<F>(&parsed.key, parsed.signals)
            && flow::is_forwarded(&value)
        {
            return Ok(Ok(value));
        }
        parsed.key.direction = direction::FORWARD;
    }

    // Flows to NodePorts and hostPorts are found before their service: they go on when it is gone.
    let may_be_any = balance::may_be_on_any_address::<F>(parsed.key.dport, parsed.key.proto);
    let is_frontend = !may_be_any && balance::has_frontend::<F>(&exact(parsed));
    // So are flows to other frontends, for as long as there are any that have none.
    if !is_frontend && !may_be_any && !flow::any_lingers::<F>() {
        return Ok(Err(past_frontends::<F>(parsed)));
    }
    if let Some(value) = flow::lookup::<F>(&parsed.key, parsed.signals) {
        match value.action {
            action::YIELD => return Ok(Err(Handled::NotOurs)),
            action::HOLD => {
                events::flow(&parsed.key, &value);
                return Err(Reason::DropHandOver);
            }
            _ => {}
        }
        if flow::may_continue::<F>(&parsed.key, &value, parsed.signals) {
            return Ok(Ok(value));
        }
        flow::remove::<F>(&parsed.key, &value);
    }
    if !is_frontend && !has_frontend::<F>(parsed, may_be_any) {
        return Ok(Err(past_frontends::<F>(parsed)));
    }
    if !flow::is_first(parsed.signals) {
        return Err(Reason::PassMidFlow);
    }
    Ok(Err(Handled::Begins))
}

/// Begins a flow with its first packet, which [`handle`] has looked at: one that came in by an external device, or one that a pod
/// sent, which the stack of this node takes from the pod's device. Then it is for [`establish`].
///
/// The steps of a beginning all but one read the packet anew: as one function they would need more stack
/// than kernels before 6.8 give, and the verifier would try each end of one with each beginning of the next.
#[inline(always)]
pub fn begin<F: Wire, const FROM_POD: bool>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut parsed = Parsed::default();
    if parse::<F>(ctx, l3, &mut parsed)?.is_err() {
        return Ok(Handled::NotOurs);
    }
    // Gone since then: the next packet finds what is so now.
    let mut service = ServiceValue::default();
    if !frontend::<F>(&parsed, &mut service) {
        return set_apart::<F, FROM_POD>(ctx, &parsed);
    }
    choose::<F, FROM_POD>(ctx, &parsed, &service)
}

/// A packet of no frontend's. A connection that it opens needs a flow if a local backend knows its tuple as one of ours already
/// ([`flow::lookup_answer`] is for the other order).
#[inline(always)]
fn past_frontends<F: Wire>(parsed: &Parsed<F::Addr>) -> Handled {
    if flow::taken::<F>(&parsed.key, parsed.signals).is_some() {
        Handled::Begins
    } else {
        Handled::NotOurs
    }
}

/// Gives a connection past the frontends another source port than the flow has that took its tuple, for [`establish`].
#[inline(always)]
fn set_apart<F: Wire, const FROM_POD: bool>(ctx: &TcContext, parsed: &Parsed<F::Addr>) -> Result<Handled, Reason> {
    // None, if the frontend or the flow went meanwhile: the next packet finds what is so now.
    let Some(backend) = flow::taken::<F>(&parsed.key, parsed.signals) else {
        return Ok(Handled::NotOurs);
    };
    // From now on, also packets that are for no frontend are looked up: until the agent finds that there is no such flow any more.
    flow::lingers::<F>();
    let value = FlowValue {
        dst: parsed.key.dst,
        dport: parsed.key.dport,
        backend,
        action: action::PASS,
        ..untranslated::<F::Addr, FROM_POD>(ctx, parsed)
    };
    keep_chosen::<F>(parsed, value, 0, backend::flags::LOCAL.into())
}

/// Begins a flow to a port of this node where nobody listens: the last one of the SNAT range, which the node keeps free. The
/// node's own TCP answers with a reset, its UDP with ICMP port unreachable and its SCTP with an ABORT, or ICMP protocol
/// unreachable where it has none, and all leave as the frontend's answer: what kube-proxy's REJECT is to a client, without making
/// up a packet here. The flow has no backend, so that the next connection or datagram looks for one again.
#[inline(always)]
pub fn refuse<F: Wire>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut parsed = Parsed::default();
    if parse::<F>(ctx, l3, &mut parsed)?.is_err() {
        return Ok(Handled::NotOurs);
    }
    let sources = F::snat_source();
    let own = sources
        .get_ptr(Skb(ctx).ifindex())
        .or_else(|| sources.get_ptr(0))
        .ok_or(Reason::DropNoRoute)?;
    let value = FlowValue {
        src: parsed.key.src,
        // SAFETY: a map value that was just looked up.
        dst: unsafe { *own },
        sport: parsed.key.sport,
        dport: config::refusing_port(),
        backend: 0,
        last_seen: clock::now(),
        state: flow::state_of(parsed.signals),
        action: action::PASS,
        device: device(ctx),
        ..FlowValue::default()
    };
    flow::create_refused::<F>(&parsed.key, &value)?;
    events::begins();
    Ok(Handled::Begun)
}

/// Translates the packet that has begun a flow, whatever may become of the flow's next packets.
#[inline(always)]
pub fn begun<F: Wire>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    let mut parsed = Parsed::default();
    if parse::<F>(ctx, l3, &mut parsed)?.is_err() {
        return Ok(Handled::NotOurs);
    }
    // Evicted at once: the table is far too small.
    let value = flow::peek::<F>(&parsed.key).ok_or(Reason::DropFlowTableFull)?;
    translate::<F, false>(ctx, &parsed, &value)
}

/// Reads a packet's headers. A later fragment gets its ports, or passes for a packet without any.
#[inline(always)]
fn parse<F: Wire>(ctx: &TcContext, l3: usize, parsed: &mut Parsed<F::Addr>) -> Result<Result<(), Unparsed>, Reason> {
    let skb = Skb(ctx);
    skb.make_headers_linear();
    if let Err(unparsed) = F::parse(&skb, l3, parsed) {
        return Ok(Err(unparsed));
    }
    events::tuple(&parsed.key);
    Ok(if fragment::track::<F>(parsed)? {
        events::tuple(&parsed.key);
        Ok(())
    } else {
        Err(Unparsed::OtherProtocol)
    })
}

/// Key of the frontend of exactly the packet's destination.
#[inline(always)]
fn exact<A: Address>(parsed: &Parsed<A>) -> ServiceKey<A> {
    ServiceKey::new(parsed.key.dst, parsed.key.dport, parsed.key.proto)
}

/// Whether the packet is for a frontend: one of exactly its destination, or a NodePort or hostPort on an address of this node.
#[inline(always)]
fn has_frontend<F: Wire>(parsed: &Parsed<F::Addr>, may_be_any: bool) -> bool {
    let key = &parsed.key;
    balance::has_frontend::<F>(&exact(parsed))
        || may_be_any && balance::on_any_address::<F>(key.dst, key.dport, key.proto, &mut ServiceValue::default())
}

/// Reads the frontend that the packet is for, if there is one.
#[inline(always)]
fn frontend<F: Wire>(parsed: &Parsed<F::Addr>, service: &mut ServiceValue) -> bool {
    let key = &parsed.key;
    if balance::frontend::<F>(&exact(parsed), service) {
        events::frontend(service, true);
        return true;
    }
    let is_any = balance::may_be_on_any_address::<F>(key.dport, key.proto)
        && balance::on_any_address::<F>(key.dst, key.dport, key.proto, service);
    if is_any {
        events::frontend(service, false);
    }
    is_any
}

/// Chooses the backend and the translation of a new flow, for [`establish`].
#[inline(always)]
fn choose<F: Wire, const FROM_POD: bool>(
    ctx: &TcContext,
    parsed: &Parsed<F::Addr>,
    service: &ServiceValue,
) -> Result<Handled, Reason> {
    let Some(slice) = candidates::<FROM_POD>(service)? else {
        counters::count_packet(Reason::RefuseNoEndpoint);
        return Ok(Handled::Refuses);
    };
    events::candidates(slice);
    // A service without endpoints refuses everyone, whatever its source ranges.
    if !balance::admits::<F>(service, parsed.key.src) {
        return Err(Reason::DropSourceRange);
    }
    events::admitted();
    let client = AffinityKey {
        client: parsed.key.src,
        netns: [0; 2],
        group: 0,
    };
    let (id, chosen) = balance::choose::<F>(service, slice, client, draw(parsed, service, slice))?;
    // A pod's packets need no SNAT wherever the backend is: the reply comes back to the pod. But for its own: a pod that meets
    // itself would answer itself past this node.
    let keeps_source = if FROM_POD {
        chosen.addr != parsed.key.src
    } else {
        chosen.flags & backend::flags::LOCAL != 0
    };
    let value = FlowValue {
        dst: chosen.addr,
        dport: chosen.port,
        backend: id,
        action: if keeps_source {
            action::PASS
        } else if !FROM_POD && dsr::is_wanted(parsed.key.proto, chosen.flags) {
            action::TUNNEL
        } else {
            action::FORWARD
        },
        ..untranslated::<F::Addr, FROM_POD>(ctx, parsed)
    };
    events::chosen(&value);
    keep_chosen::<F>(parsed, value, service.flags, chosen.flags.into())
}

/// A new flow with the client's own address, which a local backend sees, and any backend of a pod; where it leads is for the caller.
#[inline(always)]
fn untranslated<A: Address, const FROM_POD: bool>(ctx: &TcContext, parsed: &Parsed<A>) -> FlowValue<A> {
    FlowValue {
        src: parsed.key.src,
        sport: parsed.key.sport,
        last_seen: clock::now(),
        state: flow::state_of(parsed.signals) | if FROM_POD { state::FROM_POD } else { 0 },
        device: if FROM_POD { 0 } else { device(ctx) },
        ..FlowValue::default()
    }
}

/// What a new flow draws from the list: by its hash where there is a Maglev table, else by chance.
#[inline(always)]
fn draw<A: Address>(parsed: &Parsed<A>, service: &ServiceValue, list: Slice) -> Draw {
    let table = maglev::table(service.flags, list);
    if table.len == 0 {
        // SAFETY: a helper without arguments.
        let number = unsafe { bpf_get_prandom_u32() };
        return Draw {
            from: list,
            number,
            by_load: true,
        };
    }
    let key = &parsed.key;
    let number = maglev::hash(key.src, key.sport, key.dport, key.proto);
    Draw {
        from: table,
        number,
        by_load: false,
    }
}

/// Leaves a flow to [`establish`].
#[inline(always)]
fn keep_chosen<F: Wire>(
    parsed: &Parsed<F::Addr>,
    value: FlowValue<F::Addr>,
    service_flags: u32,
    backend_flags: u32,
) -> Result<Handled, Reason> {
    keep::<F>(Chosen {
        key: parsed.key,
        value,
        service_flags,
        backend_flags,
        class: parsed.class.into(),
        length: 0,
    })?;
    Ok(Handled::Chosen)
}

/// Makes the entries of a flow whose backend [`begin`] has chosen. Then it is for [`begun`], or before that for [`refuse`].
#[inline(always)]
pub fn establish<F: Wire>(ctx: &TcContext, l3: usize) -> Result<Handled, Reason> {
    // Read, or the compiler would pass anything at all at the calls, and the verifier asks for a number.
    // SAFETY: a variable of this function.
    let _ = unsafe { read_volatile(&raw const l3) };
    let scratch = F::chosen().get_ptr(0).ok_or(Reason::DropInconsistent)?;
    // SAFETY: this CPU's own entry, which `begin` has written for this packet.
    let chosen = unsafe { &*scratch };
    let mut value = chosen.value;
    if flow::is_tunnelled(&value) {
        value.src = snat_source::<F>(ctx, chosen, &value)?;
        value.sport = route::NO_PORT;
        flow::create_one_way::<F>(&chosen.key, &value)?;
        events::flow(&chosen.key, &value);
        events::begins();
        load::began::<F>(value.backend);
        counters::count_packet(Reason::FlowToRemoteDsr);
        return Ok(Handled::Begun);
    }
    if flow::is_forwarded(&value) {
        value.src = snat_source::<F>(ctx, chosen, &value)?;
        if !config::is_snat_port(value.sport) {
            // Not the client's own port: it could be one of this node's connections.
            // SAFETY: a helper without arguments.
            value.sport = config::snat_port(unsafe { bpf_get_prandom_u32() });
        }
    }
    match flow::create::<F>(&chosen.key, value) {
        Ok(()) => load::began::<F>(value.backend),
        Err(Reason::RefuseSnatExhausted) => {
            counters::count_packet(Reason::RefuseSnatExhausted);
            return Ok(if chosen.service_flags & flags::NODE_PORT == 0 {
                Handled::Refuses
            } else {
                // A node's own address, and no socket has the port: the stack refuses it.
                Handled::NotOurs
            });
        }
        Err(reason) => return Err(reason),
    }
    counters::count_packet(if chosen.backend_flags & u32::from(backend::flags::LOCAL) != 0 {
        Reason::FlowToLocal
    } else {
        Reason::FlowToRemote
    });
    Ok(Handled::Begun)
}

/// The backends that the client may get; `None`: refuse it, there is no endpoint anywhere. `externalTrafficPolicy` is for clients
/// outside, `internalTrafficPolicy` for all who ask a ClusterIP.
#[inline(always)]
fn candidates<const FROM_POD: bool>(service: &ServiceValue) -> Result<Option<Slice>, Reason> {
    let local_only = flags::INTERNAL_LOCAL | if FROM_POD { 0 } else { flags::EXTERNAL_LOCAL };
    let slice = if service.flags & local_only == 0 {
        service.cluster
    } else {
        service.local
    };
    if slice.len != 0 {
        Ok(Some(slice))
    } else if service.flags & flags::HAS_ENDPOINTS != 0 {
        Err(Reason::DropNoLocalEndpoint)
    } else if service.flags & flags::NODE_PORT != 0 {
        Err(Reason::PassNoEndpoint)
    } else {
        Ok(None)
    }
}

/// The device that the packet came in by, as flows remember it.
#[inline(always)]
fn device(ctx: &TcContext) -> u16 {
    u16::try_from(Skb(ctx).ifindex()).unwrap_or(0)
}

/// The node's own address on the way to the backend.
#[inline(always)]
fn snat_source<F: Wire>(ctx: &TcContext, chosen: &Chosen<F::Addr>, to: &FlowValue<F::Addr>) -> Result<F::Addr, Reason> {
    let sources = F::snat_source();
    // The route may depend on the source: ask with the one that most packets will have.
    let any = sources.get_ptr(0).ok_or(Reason::DropNoRoute)?;
    // SAFETY: a map value that was just looked up.
    let any = unsafe { *any };
    let asked = FlowValue {
        src: any,
        sport: route::NO_PORT,
        ..*to
    };
    let way = F::route(ctx, chosen.key.proto, chosen.class as u8, &asked)?;
    events::leaves(way.ifindex);
    Ok(match sources.get_ptr(way.ifindex) {
        // SAFETY: a map value that was just looked up.
        Some(own) => unsafe { *own },
        None => any,
    })
}

/// Translates the packet and sends it on its way. `REMEMBERS`: the flow is to keep that for its next packets; a flow's first packet may be
/// its last.
#[inline(always)]
fn translate<F: Wire, const REMEMBERS: bool>(
    ctx: &TcContext,
    parsed: &Parsed<F::Addr>,
    value: &FlowValue<F::Addr>,
) -> Result<Handled, Reason> {
    events::flow(&parsed.key, value);
    if flow::is_yielded(value) {
        // Marked since the flow was looked up.
        return Ok(Handled::NotOurs);
    }
    service_counts::packet::<F>(&parsed.key, value, !REMEMBERS, || Skb(ctx).size(parsed.l3));
    if flow::is_forwarded(value) {
        if value.way.is_known() && parsed.l3 == ETHERNET as usize {
            events::leaves(value.way.ifindex.into());
            return translate::forward::<F>(ctx, parsed, value, || route::redirect_known(ctx, &value.way));
        }
        let route = if REMEMBERS {
            let route = F::route_of_flow(ctx, parsed.key.proto, parsed.class, value)?;
            flow::keep_way::<F>(&parsed.key, route.way);
            route
        } else {
            F::route(ctx, parsed.key.proto, parsed.class, value)?
        };
        events::leaves(route.ifindex);
        translate::forward::<F>(ctx, parsed, value, || route.redirect(ctx, parsed.l3))
    } else if flow::is_tunnelled(value) {
        dsr::send::leave::<F>(ctx, parsed, value)
    } else {
        translate::pass::<F>(ctx, parsed, value)
    }
}
