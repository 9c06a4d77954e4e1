//! How long a flow may be idle before it is forgotten.

use super::FlowState;
use kpr_abi::{
    flow::{YIELD_FIRST_SECONDS, YIELD_SECONDS, state},
    proto,
};

/// Idle times in seconds, those of `nf_conntrack` with kube-proxy's two changes (`tcpEstablishedTimeout`,
/// `tcpCloseWaitTimeout`), but for closed connections.
///
/// `nf_conntrack` remembers a closed connection for 120 seconds (`TIME_WAIT`). Here each such flow keeps a source port from others,
/// so it goes after the 60 seconds for which a backend that closed first remembers it: given away before that, the port would have
/// the next client's SYN refused there for its old time stamp (RFC 7323 §5.2, PAWS), and sent again a second later. Where ports run
/// short, that is the smaller evil: [`Timeouts::SHORT_OF_PORTS`]. A client that begins anew on the same port is balanced anew in
/// any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP, hands shaken (`ESTABLISHED`).
    pub tcp_established: u32,
    /// TCP, no answer yet (`SYN_SENT`).
    pub tcp_syn_sent: u32,
    /// TCP, answered, and the client has not said that it heard (`SYN_RECV`): a flood of SYNs from nowhere ends here.
    pub tcp_syn_received: u32,
    /// TCP, one side closed (`FIN_WAIT`, `CLOSE_WAIT`): the other may have much to say.
    pub tcp_half_closed: u32,
    /// TCP, both sides closed (`LAST_ACK`, `TIME_WAIT`).
    pub tcp_closed: u32,
    /// TCP, one side has reset it (`CLOSE`).
    pub tcp_reset: u32,
    /// UDP, seen both ways.
    pub udp_stream: u32,
    /// UDP, no answer yet.
    pub udp: u32,
    /// SCTP, seen both ways (`ESTABLISHED`, as Linux has it since 6.2): longer than an idle association is silent, since both ends
    /// send heartbeats.
    pub sctp_established: u32,
    /// SCTP, no answer yet (`COOKIE_WAIT`).
    pub sctp_init: u32,
    /// SCTP, one side shuts down (`SHUTDOWN_SENT`).
    pub sctp_shutdown: u32,
    /// SCTP, shut down or aborted (`CLOSED`).
    pub sctp_closed: u32,
}

impl Timeouts {
    /// While source ports towards some backend run short: what Cilium allows closed connections.
    pub const SHORT_OF_PORTS: Self = Self {
        tcp_closed: 10,
        ..Self::USUAL
    };

    const USUAL: Self = Self {
        tcp_established: 86_400,
        tcp_syn_sent: 120,
        tcp_syn_received: 60,
        tcp_half_closed: 3_600,
        tcp_closed: 60,
        tcp_reset: 10,
        udp_stream: 120,
        udp: 30,
        sctp_established: 210,
        sctp_init: 3,
        sctp_shutdown: 3,
        sctp_closed: 10,
    };
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Timeouts {
    /// How long a flow in this state may be idle. `forward`, `reply`: the state bits of each direction; `yielded`: it is netfilter's.
    pub(super) fn idle(&self, proto: u8, forward: u8, reply: u8, yielded: bool) -> u32 {
        if yielded {
            // Only its forward packets pass here; it goes when netfilter has forgotten it.
            return if forward & state::SEEN == 0 {
                YIELD_FIRST_SECONDS
            } else {
                YIELD_SECONDS
            };
        }
        match (proto, FlowState::of(proto, forward, reply)) {
            (proto::TCP, FlowState::Reset) => self.tcp_reset,
            (proto::TCP, FlowState::Closed) => self.tcp_closed,
            (proto::TCP, FlowState::Closing) => self.tcp_half_closed,
            (proto::TCP, FlowState::Opening) => self.tcp_syn_sent,
            (proto::TCP, FlowState::Accepted) => self.tcp_syn_received,
            (proto::TCP, FlowState::Established) => self.tcp_established,
            (proto::SCTP, FlowState::Closed | FlowState::Reset) => self.sctp_closed,
            (proto::SCTP, FlowState::Closing) => self.sctp_shutdown,
            (proto::SCTP, FlowState::Opening) => self.sctp_init,
            (proto::SCTP, FlowState::Accepted | FlowState::Established) => self.sctp_established,
            (_, FlowState::Opening) => self.udp,
            _ => self.udp_stream,
        }
    }

    /// The same for a flow whose answers do not pass here (DSR). `state`: of the client's packets.
    ///
    /// A client that has closed may hear more from a backend that took its time, and says so with each acknowledgement; the backend's own
    /// end is not seen. So the flow is kept for as long as one of a SYN without an answer.
    pub(super) fn one_way(&self, proto: u8, state: u8) -> u32 {
        match (proto, FlowState::one_way(proto, state)) {
            (proto::TCP, FlowState::Reset) => self.tcp_reset,
            (proto::TCP, FlowState::Established) => self.tcp_established,
            (proto::TCP, _) => self.tcp_syn_sent,
            (proto::SCTP, FlowState::Opening) => self.sctp_init,
            (proto::SCTP, FlowState::Established) => self.sctp_established,
            (proto::SCTP, _) => self.sctp_closed,
            _ => self.udp_stream,
        }
    }

    /// A flow that has been idle for less lives, whatever its state.
    pub(super) fn shortest(&self) -> u32 {
        let Self {
            tcp_established,
            tcp_syn_sent,
            tcp_syn_received,
            tcp_half_closed,
            tcp_closed,
            tcp_reset,
            udp_stream,
            udp,
            sctp_established,
            sctp_init,
            sctp_shutdown,
            sctp_closed,
        } = *self;
        tcp_established
            .min(tcp_syn_sent)
            .min(tcp_syn_received)
            .min(tcp_half_closed)
            .min(tcp_closed)
            .min(tcp_reset)
            .min(udp_stream)
            .min(udp)
            .min(sctp_established)
            .min(sctp_init)
            .min(sctp_shutdown)
            .min(sctp_closed)
    }
}
