//! From outcomes to verdicts: the only place where tc's are decided.

use super::Handled;
use crate::counters;
use aya_ebpf::bindings::{TC_ACT_SHOT, TC_ACT_UNSPEC};
use kpr_abi::Reason;

/// The next program on the hook sees the packet, and the stack after the last one (`TCX_NEXT` is the same number).
pub const NEXT: i32 = TC_ACT_UNSPEC;
const DROP: i32 = TC_ACT_SHOT;
/// Between the steps of a program, never returned to the kernel: look at the packet as ICMP.
pub const ICMP: i32 = 0x1c;
/// The same: the packet begins a flow.
pub const BEGIN: i32 = 0x1d;
/// The same: the packet's flow has begun, and it is to be translated.
pub const BEGUN: i32 = 0x1e;
/// The same: an answer leaves by another device than its request came in by.
pub const DETOUR: i32 = 0x1f;
/// The same: a backend is chosen, and the flow is to be made.
pub const CHOSEN: i32 = 0x21;
/// The same: the packet is to be refused in the frontend's name.
pub const REFUSE: i32 = 0x20;

/// The same, of DSR: see [`Handled`].
pub const ENCAPSULATED: i32 = 0x22;
pub const BEGIN_INSIDE: i32 = 0x23;
pub const REPORT_INSIDE: i32 = 0x24;
pub const ADMITTED: i32 = 0x25;
pub const SEND_BACK: i32 = 0x26;
pub const CAME_BACK: i32 = 0x27;
pub const TUNNEL: i32 = 0x28;
pub const TOO_BIG: i32 = 0x29;
pub const TURN_BACK: i32 = 0x2a;

/// What a packet's outcome means to tc. `TC_ACT_UNSPEC` (`TCX_NEXT`) lets the next program on the hook see the packet, and
/// the stack after the last one.
#[inline(always)]
pub fn verdict(outcome: Result<Handled, Reason>) -> i32 {
    match outcome {
        Ok(Handled::NotOurs | Handled::Translated) => NEXT,
        Ok(Handled::Icmp) => ICMP,
        Ok(Handled::Begins) => BEGIN,
        Ok(Handled::Chosen) => CHOSEN,
        Ok(Handled::Begun) => BEGUN,
        Ok(Handled::Detours) => DETOUR,
        Ok(Handled::Refuses) => REFUSE,
        Ok(Handled::Encapsulated) => ENCAPSULATED,
        Ok(Handled::BeginsInside) => BEGIN_INSIDE,
        Ok(Handled::ReportsInside) => REPORT_INSIDE,
        Ok(Handled::Admitted) => ADMITTED,
        Ok(Handled::SendsBack) => SEND_BACK,
        Ok(Handled::TurnsBack) => TURN_BACK,
        Ok(Handled::CameBack) => CAME_BACK,
        Ok(Handled::Tunnels) => TUNNEL,
        Ok(Handled::TooBig) => TOO_BIG,
        // The verdict of the redirect helper.
        Ok(Handled::Redirected(action)) => action,
        Err(reason) => {
            counters::count_packet(reason);
            match reason {
                // The stack knows such a flow (netfilter's own translation), or resets it.
                Reason::PassMidFlow
                // A node's own address: the stack answers with a reset or with ICMP port unreachable.
                | Reason::PassNoEndpoint => NEXT,
                // Counted when they happen, not verdicts.
                Reason::SocketTranslated
                | Reason::SocketNoEndpoint
                | Reason::SocketNoLocalEndpoint
                | Reason::SocketSourceRange
                | Reason::SocketBindRefused
                | Reason::FlowToLocal
                | Reason::FlowToRemote
                | Reason::FlowToRemoteDsr
                | Reason::FlowFromDsr
                | Reason::DsrSentBack
                | Reason::XdpForwarded
                | Reason::RefuseNoEndpoint
                | Reason::RefuseSnatExhausted => NEXT,
                // Traffic policy Local: kube-proxy drops, so that the load balancer's next try goes elsewhere.
                Reason::DropNoLocalEndpoint
                // kube-proxy drops those too.
                | Reason::DropSourceRange
                // Netfilter has the flow in a moment; until then it would take the packet for another connection's.
                | Reason::DropHandOver
                // Sending such a packet untranslated would leak it with a wrong address.
                | Reason::DropNoRoute
                | Reason::DropTtl
                | Reason::DropTooBig
                // Inside is a packet for another node's address: the stack would send it back there, and so on.
                | Reason::DropDsrUnknown
                | Reason::DropFragment
                | Reason::DropSctpFragment
                | Reason::DropFlowTableFull
                | Reason::DropInconsistent
                | Reason::DropRewriteFailed => DROP,
            }
        }
    }
}
