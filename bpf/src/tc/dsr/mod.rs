//! Direct server return (DSR): a backend's node answers the client itself.
//!
//! The node that a client asked leaves the packet as it is and sends it, encapsulated, to the backend's own address ([`send`]): it goes
//! wherever packets to that pod go, whatever the CNI. On the backend's node, [`receive`] takes the outer headers off, finds the backend by
//! the outer address, and begins a flow as if the client had asked there. What can't be served that way goes back, encapsulated as it came,
//! and its flow gets SNAT ([`send_back`]).

pub mod receive;
pub mod send;
pub mod send_back;
pub mod too_big;
mod wire;

use super::{skb::Skb, wire::Wire};
use crate::{config, events, maps::Tables};
use aya_ebpf::{
    bindings::{BPF_F_ADJ_ROOM_FIXED_GSO, bpf_adj_room_mode::BPF_ADJ_ROOM_MAC},
    helpers::generated::bpf_skb_adjust_room,
    programs::TcContext,
};
use kpr_abi::{Be16, Reason, backend, config::features, proto};
use kpr_packet::{Parsed, Unparsed, encap::Dispatch, encap::Outer};
pub use wire::Tunnel;

/// As much as is looked at of an encapsulated packet: Ethernet, the outer IPv6 header, UDP's and Geneve's, an inner IPv4 header with all
/// options or an IPv6 one, TCP's fixed header.
const HEADERS: u32 = 14 + 40 + 16 + 60 + 20;

/// Whether a new flow of this protocol to a backend with these flags is to be encapsulated.
#[inline(always)]
pub fn is_wanted(protocol: u8, backend_flags: u8) -> bool {
    if !config::has(features::TUNNELS) || backend_flags & backend::flags::DSR == 0 {
        return false;
    }
    if protocol == proto::TCP {
        config::has(features::DSR_TCP)
    } else {
        config::has(features::DSR_OTHERS)
    }
}

/// Whether a packet of UDP, whose header is at `l4`, looks like one that another node has encapsulated.
#[inline(always)]
pub fn is_encapsulated<A>(ctx: &TcContext, parsed: &Parsed<A>) -> bool {
    has_port(parsed.key.proto, parsed.key.dport) && kpr_packet::encap::may_be_geneve(&Skb(ctx), parsed.l4)
}

/// Whether a packet of this protocol to this port may be one, where such packets are taken.
#[inline(always)]
pub fn has_port(protocol: u8, port: Be16) -> bool {
    config::has(features::TUNNELS) && protocol == proto::UDP && port == kpr_packet::encap::GENEVE_PORT
}

/// Reads the outer headers of an encapsulated packet, and what is inside.
#[inline(always)]
fn read<F: Tunnel>(
    ctx: &TcContext,
    l3: usize,
    outer: &mut Outer<F::Addr>,
    parsed: &mut Parsed<F::Addr>,
) -> Result<(), Unparsed> {
    let skb = Skb(ctx);
    skb.make_linear(HEADERS);
    F::read_outer(&skb, l3, outer)?;
    // Either offset is a constant: the verifier would follow any number of a variable one.
    match outer.dispatch {
        Dispatch::Ipip => F::parse(&skb, l3 + F::overhead(Dispatch::Ipip), parsed)?,
        Dispatch::Geneve => F::parse(&skb, l3 + F::overhead(Dispatch::Geneve), parsed)?,
    }
    events::tuple(&parsed.key);
    events::encapsulated();
    Ok(())
}

/// Takes the outer headers off.
#[inline(always)]
fn strip<F: Tunnel>(ctx: &TcContext, dispatch: Dispatch) -> Result<(), Reason> {
    let length = match dispatch {
        Dispatch::Ipip => F::overhead(Dispatch::Ipip),
        Dispatch::Geneve => F::overhead(Dispatch::Geneve),
    };
    // SAFETY: a helper on the program's own packet.
    let result = unsafe {
        bpf_skb_adjust_room(
            ctx.skb.skb,
            -(length as i32),
            BPF_ADJ_ROOM_MAC,
            u64::from(BPF_F_ADJ_ROOM_FIXED_GSO),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(Reason::DropRewriteFailed)
    }
}

/// Whether what leaves by this device passes [`super::egress`]: an external device with an address of the family, or the one that this
/// packet came in by.
#[inline(always)]
fn is_external<F: Wire + Tables>(ctx: &TcContext, ifindex: u32) -> bool {
    ifindex == Skb(ctx).ifindex() || F::snat_source().get_ptr(ifindex).is_some()
}
