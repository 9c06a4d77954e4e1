//! Socket calls that nobody makes: the code that leads calls, run on one that the agent's command line has made up. The kernel runs no
//! program of a cgroup's hooks for a test, but a classifier, which has no socket: what the code asks of one, the call says.

use crate::socket::{
    address::{Addr, Call, SocketAddress},
    forward,
};
use aya_ebpf::{macros::map, maps::Array};
use core::marker::PhantomData;
use kpr_abi::{Addr4, Addr6, Address as _, Be16, Event, Family, MadeUpCall, V4, V6, event::NOTHING, proto};

#[map]
static EXPLAINED_CALL: Array<MadeUpCall> = Array::with_max_entries(1, 0);

/// Leads the call, as the hooks of `connect(2)` do.
#[inline(always)]
pub fn connect<F: InWords>() -> i32
where
    MadeUp<F>: SocketAddress<Call = Caller>,
{
    if let Some(call) = EXPLAINED_CALL.get_ptr_mut(0) {
        let outcome = forward::connect::<MadeUp<F>>(&Caller(call));
        // SAFETY: the entry of an array, which nothing else uses until the program is through.
        unsafe { (*call).denied = outcome.map_or_else(|reason| reason as u32, |()| NOTHING) };
    }
    0
}

/// A call whose address is of this family.
pub struct MadeUp<F>(PhantomData<F>);

/// The call's entry.
pub struct Caller(*mut MadeUpCall);

/// A family whose addresses stand in the words of a call.
pub trait InWords: Family {
    /// The words' address.
    fn read(words: [u32; 4]) -> Self::Addr;
}

impl InWords for V4 {
    #[inline(always)]
    fn read([first, ..]: [u32; 4]) -> Addr4 {
        Addr4(first)
    }
}

impl InWords for V6 {
    #[inline(always)]
    fn read(words: [u32; 4]) -> Addr6 {
        Addr6(words)
    }
}

impl<F: InWords + crate::service_counts::Counted> SocketAddress for MadeUp<F> {
    type Family = F;
    type Call = Caller;

    #[inline(always)]
    fn read(ctx: &Caller) -> Option<Addr<Self>> {
        Some(F::read(ctx.get().addr))
    }

    #[inline(always)]
    fn write(ctx: &Caller, addr: Addr<Self>) {
        // SAFETY: as of `connect`.
        unsafe { (*ctx.0).addr = addr.words() }
    }
}

impl Caller {
    #[inline(always)]
    fn get(&self) -> MadeUpCall {
        // SAFETY: as of `connect`.
        unsafe { *self.0 }
    }
}

impl Call for Caller {
    #[inline(always)]
    fn port(&self) -> Be16 {
        self.get().port
    }

    #[inline(always)]
    fn set_port(&self, port: Be16) {
        // SAFETY: as of `connect`.
        unsafe { (*self.0).port = port }
    }

    #[inline(always)]
    fn protocol(&self) -> Option<u8> {
        match self.get().proto {
            proto @ (proto::TCP | proto::UDP) => Some(proto),
            _ => None,
        }
    }

    #[inline(always)]
    fn number(&self) -> u64 {
        self.get().number
    }

    #[inline(always)]
    fn netns(&self) -> u64 {
        self.get().netns
    }

    /// Nobody's.
    #[inline(always)]
    fn identify(&self, _: &mut Event) {}
}
