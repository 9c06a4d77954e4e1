//! The first packet of a flow to a remote backend.

use crate::{
    maps::{BACKENDS, FLOWS, FRONTENDS, NODE_ADDRESS},
    packet, translate,
};
use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_get_prandom_u32, programs::TcContext};
use kpr_abi::{
    Addr4, Be16, FlowKey, FlowValue, Reason, ServiceKey,
    flow::{action, direction, state},
};

/// Source ports are drawn from those above.
const FIRST_PORT: u16 = 0xc000;
/// How often a flow tries to get a source port.
const ATTEMPTS: u32 = 4;

/// Draws a backend and a source port, makes both entries of the flow, and translates the packet.
#[inline(always)]
pub fn begin(ctx: &TcContext) -> Result<i32, Reason> {
    let parsed = packet::parse(ctx)?;
    let frontend = ServiceKey::new(parsed.key.dst, parsed.key.dport, parsed.key.proto);
    let count = FRONTENDS.get_ptr(frontend).ok_or(Reason::PassNoEndpoint)?;
    // SAFETY: a map value that was just looked up.
    let count = unsafe { *count };
    let mut attempt = 0;
    while attempt < ATTEMPTS {
        // SAFETY: a helper without arguments.
        let number = unsafe { bpf_get_prandom_u32() };
        let value = draw(count, number)?;
        let reply = FlowValue {
            src: parsed.key.dst,
            dst: parsed.key.src,
            sport: parsed.key.dport,
            dport: parsed.key.sport,
            state: 0,
            ..value
        };
        let answering = FlowKey::answering(&value, parsed.key.proto, direction::REPLY);
        if FLOWS.insert(answering, reply, u64::from(BPF_NOEXIST)).is_ok() {
            FLOWS
                .insert(parsed.key, value, u64::from(BPF_NOEXIST))
                .map_err(|_| Reason::DropFlowTableFull)?;
            return translate::forward::<{ crate::xdp::TCP }>(ctx, &parsed, &value);
        }
        attempt += 1;
    }
    Err(Reason::RefuseSnatExhausted)
}

/// The translation to the backend that `number` draws, from the source port that it draws, too.
#[inline(always)]
fn draw(count: u32, number: u32) -> Result<FlowValue<Addr4>, Reason> {
    let index = number.checked_rem(count).unwrap_or(0);
    let backend = BACKENDS.get(index).ok_or(Reason::DropInconsistent)?;
    Ok(FlowValue {
        src: Addr4(NODE_ADDRESS.load()),
        dst: backend.addr,
        sport: Be16::new(FIRST_PORT | (number >> 18) as u16),
        dport: backend.port,
        backend: index,
        last_seen: 0,
        state: state::SEEN,
        action: action::FORWARD,
        device: 0,
        ..FlowValue::default()
    })
}
