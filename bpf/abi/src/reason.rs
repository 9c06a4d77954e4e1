//! Why a packet or a connect took the way it took; each is counted.

/// What happened to a packet or a socket call that concerned a service. Index of the per-CPU counter array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Reason {
    /// A socket call was led to a backend.
    SocketTranslated = 0,
    /// A socket call was refused: the service has no usable endpoint.
    SocketNoEndpoint = 1,
    /// A socket call was denied: traffic policy `Local` without an endpoint on this node.
    SocketNoLocalEndpoint = 2,
    /// A new flow was led to a backend on this node.
    FlowToLocal = 3,
    /// A new flow was led to a backend on another node.
    FlowToRemote = 4,
    /// Refused: the service has no usable endpoint; the packet was led to a port of this node where nobody listens.
    RefuseNoEndpoint = 5,
    /// Dropped: traffic policy `Local` without an endpoint on this node.
    DropNoLocalEndpoint = 6,
    /// Refused: no free SNAT source port was found towards the backend.
    RefuseSnatExhausted = 7,
    /// Dropped: no route to the backend or to the client.
    DropNoRoute = 8,
    /// Dropped: the packet's time to live ended here.
    DropTtl = 9,
    /// Dropped: a fragment of a packet for a service, after fragments of too many others.
    DropFragment = 10,
    /// Dropped: the flow table took no new entry.
    DropFlowTableFull = 11,
    /// Dropped: slot table and backend table disagree (a bug, or a map changed by hand).
    DropInconsistent = 12,
    /// Dropped: a helper of the kernel refused to change the packet.
    DropRewriteFailed = 13,
    /// Passed to the stack: mid-flow TCP or SCTP packet of a flow that was not load-balanced here.
    PassMidFlow = 14,
    /// Passed to the stack: a NodePort without any usable endpoint; the node's own stack refuses it.
    PassNoEndpoint = 15,
    /// A socket call of the node itself was denied: its address is in none of the frontend's source ranges.
    SocketSourceRange = 16,
    /// Dropped: the client is in none of the frontend's source ranges.
    DropSourceRange = 17,
    /// Dropped: the first fragment of an SCTP packet whose ports would change. Its checksum is over the whole packet, whose length only the last
    /// fragment tells.
    DropSctpFragment = 18,
    /// Dropped: a packet of a flow that is being handed over to netfilter; it is sent again.
    DropHandOver = 19,
    /// A process of the node was refused an address and port that a NodePort or a hostPort has.
    SocketBindRefused = 20,
    /// Sent on by XDP: a packet of a flow with a remote backend.
    XdpForwarded = 21,
    /// A new flow was led to a backend on another node, whose node answers the client itself (DSR).
    FlowToRemoteDsr = 22,
    /// A new flow came encapsulated from another node, for a backend on this one (DSR).
    FlowFromDsr = 23,
    /// The first packet of a flow was sent back to the node that had encapsulated it, which takes SNAT for the flow: this node does not
    /// know the frontend, or the answer would not pass its programs.
    DsrSentBack = 24,
    /// Dropped: too big to be encapsulated on its way to the backend's node; the client was told by ICMP.
    DropTooBig = 25,
    /// Dropped: an encapsulated packet that no flow and no frontend is known for.
    DropDsrUnknown = 26,
}

impl Reason {
    /// Every reason, in the order of its counter.
    pub const ALL: [Self; 27] = [
        Self::SocketTranslated,
        Self::SocketNoEndpoint,
        Self::SocketNoLocalEndpoint,
        Self::FlowToLocal,
        Self::FlowToRemote,
        Self::RefuseNoEndpoint,
        Self::DropNoLocalEndpoint,
        Self::RefuseSnatExhausted,
        Self::DropNoRoute,
        Self::DropTtl,
        Self::DropFragment,
        Self::DropFlowTableFull,
        Self::DropInconsistent,
        Self::DropRewriteFailed,
        Self::PassMidFlow,
        Self::PassNoEndpoint,
        Self::SocketSourceRange,
        Self::DropSourceRange,
        Self::DropSctpFragment,
        Self::DropHandOver,
        Self::SocketBindRefused,
        Self::XdpForwarded,
        Self::FlowToRemoteDsr,
        Self::FlowFromDsr,
        Self::DsrSentBack,
        Self::DropTooBig,
        Self::DropDsrUnknown,
    ];

    /// Number of counters.
    #[expect(clippy::cast_possible_truncation, reason = "a handful")]
    pub const COUNT: u32 = Self::ALL.len() as u32;

    /// As it stands in metrics and `kpr status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::SocketTranslated => "socket_translated",
            Self::SocketNoEndpoint => "socket_no_endpoint",
            Self::SocketNoLocalEndpoint => "socket_no_local_endpoint",
            Self::FlowToLocal => "flow_to_local",
            Self::FlowToRemote => "flow_to_remote",
            Self::RefuseNoEndpoint => "refuse_no_endpoint",
            Self::DropNoLocalEndpoint => "drop_no_local_endpoint",
            Self::RefuseSnatExhausted => "refuse_snat_exhausted",
            Self::DropNoRoute => "drop_no_route",
            Self::DropTtl => "drop_ttl",
            Self::DropFragment => "drop_fragment",
            Self::DropFlowTableFull => "drop_flow_table_full",
            Self::DropInconsistent => "drop_inconsistent",
            Self::DropRewriteFailed => "drop_rewrite_failed",
            Self::PassMidFlow => "pass_mid_flow",
            Self::PassNoEndpoint => "pass_no_endpoint",
            Self::SocketSourceRange => "socket_source_range",
            Self::DropSourceRange => "drop_source_range",
            Self::DropSctpFragment => "drop_sctp_fragment",
            Self::DropHandOver => "drop_hand_over",
            Self::SocketBindRefused => "socket_bind_refused",
            Self::FlowToRemoteDsr => "flow_to_remote_dsr",
            Self::FlowFromDsr => "flow_from_dsr",
            Self::DsrSentBack => "dsr_sent_back",
            Self::DropTooBig => "drop_too_big",
            Self::DropDsrUnknown => "drop_dsr_unknown",
            Self::XdpForwarded => "xdp_forwarded",
        }
    }
}

const _: () = {
    let mut i = 0;
    while i < Reason::ALL.len() {
        assert!(Reason::ALL[i] as usize == i);
        i += 1;
    }
};
