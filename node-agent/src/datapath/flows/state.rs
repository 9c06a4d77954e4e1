//! In which state a flow is: by what each of its directions has seen. Pure.

use kpr_abi::{flow::state, proto};
use std::fmt;

/// A flow's state. [`Timeouts`](super::Timeouts) say how long each may last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlowState {
    /// No answer yet.
    Opening,
    /// TCP: answered, and the client has not said that it heard.
    Accepted,
    /// Both sides speak. Of a flow whose answers do not pass here: the client does.
    Established,
    /// One side has closed.
    Closing,
    /// Both sides have closed.
    Closed,
    /// TCP: a side has reset it.
    Reset,
}

impl FlowState {
    /// Every state.
    pub const ALL: [Self; 6] = [
        Self::Opening,
        Self::Accepted,
        Self::Established,
        Self::Closing,
        Self::Closed,
        Self::Reset,
    ];

    /// Of a flow whose two directions have these state bits.
    pub(super) fn of(proto: u8, forward: u8, reply: u8) -> Self {
        let both = |bit: u8| forward & reply & bit != 0;
        let either = |bit: u8| (forward | reply) & bit != 0;
        let answered = both(state::SEEN);
        match proto {
            proto::TCP if either(state::ENDED) => Self::Reset,
            proto::TCP if both(state::CLOSED) => Self::Closed,
            // SHUTDOWN and its answer close both sides and are not the end: SHUTDOWN COMPLETE is.
            proto::SCTP if either(state::ENDED) => Self::Closed,
            proto::TCP | proto::SCTP if either(state::CLOSED) => Self::Closing,
            _ if !answered => Self::Opening,
            proto::TCP if forward & state::PAST_SYN == 0 => Self::Accepted,
            _ => Self::Established,
        }
    }

    /// Of a flow whose answers do not pass here (DSR), by the bits of the client's packets.
    pub(super) fn one_way(proto: u8, bits: u8) -> Self {
        let has = |bit: u8| bits & bit != 0;
        match proto {
            proto::TCP if has(state::ENDED) => Self::Reset,
            proto::SCTP if has(state::ENDED) => Self::Closed,
            proto::TCP | proto::SCTP if has(state::CLOSED) => Self::Closing,
            proto::TCP | proto::SCTP if !has(state::PAST_SYN) => Self::Opening,
            _ => Self::Established,
        }
    }

    /// As it stands in lists.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Opening => "opening",
            Self::Accepted => "accepted",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for FlowState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
