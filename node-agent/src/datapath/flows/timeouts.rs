//! How long a flow may be idle before it is forgotten.

use kpr_abi::{flow::state, proto};

/// Idle times in seconds, those of `nf_conntrack` with kube-proxy's two changes (`tcpEstablishedTimeout`,
/// `tcpCloseWaitTimeout`), but for closed connections.
///
/// `nf_conntrack` remembers a closed connection for 120 seconds (`TIME_WAIT`), mostly to know a late packet. Here each such flow
/// keeps a source port from others: ten seconds after both sides closed are enough for a FIN that is sent again, and are what
/// Cilium allows. A client that begins anew on the same port within that time is balanced anew all the same.
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
    /// TCP, both sides closed or one reset (`LAST_ACK`, `TIME_WAIT`, `CLOSE`).
    pub tcp_closed: u32,
    /// UDP, seen both ways.
    pub udp_stream: u32,
    /// UDP, no answer yet.
    pub udp: u32,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            tcp_established: 86_400,
            tcp_syn_sent: 120,
            tcp_syn_received: 60,
            tcp_half_closed: 3_600,
            tcp_closed: 10,
            udp_stream: 120,
            udp: 30,
        }
    }
}

impl Timeouts {
    /// How long a flow in this state may be idle. `forward`, `reply`: the state bits of each direction.
    pub(super) fn idle(&self, proto: u8, forward: u8, reply: u8) -> u32 {
        let both = |bit: u8| forward & reply & bit != 0;
        let either = |bit: u8| (forward | reply) & bit != 0;
        let answered = both(state::SEEN);
        if proto != proto::TCP {
            return if answered { self.udp_stream } else { self.udp };
        }
        if either(state::RST) || both(state::FIN) {
            self.tcp_closed
        } else if either(state::FIN) {
            self.tcp_half_closed
        } else if !answered {
            self.tcp_syn_sent
        } else if forward & state::PAST_SYN == 0 {
            self.tcp_syn_received
        } else {
            self.tcp_established
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
            udp_stream,
            udp,
        } = *self;
        tcp_established
            .min(tcp_syn_sent)
            .min(tcp_syn_received)
            .min(tcp_half_closed)
            .min(tcp_closed)
            .min(udp_stream)
            .min(udp)
    }
}
