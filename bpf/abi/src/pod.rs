//! `aya::Pod` for every type that user space reads from or writes to a map.

use crate::{
    Addr4, Addr6, Address, AffinityKey, AffinityValue, BackendValue, Be16, Event, FlowKey, FlowValue, FragmentKey,
    FragmentValue, MadeUpCall, PeerKey, PeerValue, ServiceCount, ServiceKey, ServiceValue, Slice, SourceRange,
    StoredService, event::Wanted, xdp::HardwareAddress,
};

macro_rules! pod {
    ($($type:ty),+ $(,)?) => {
        // SAFETY: `repr(C)` integers without padding (proven by `layout!` where the type is defined): every bit
        // pattern is a value.
        $(unsafe impl aya::Pod for $type {})+
    };
}

macro_rules! pod_of_address {
    ($($type:ident),+ $(,)?) => {
        // SAFETY: as above; addresses are `Addr4` and `Addr6`, and `layout!` proves the type with each.
        $(unsafe impl<A: Address + aya::Pod> aya::Pod for $type<A> {})+
    };
}

pod!(
    Be16,
    Addr4,
    Addr6,
    Slice,
    ServiceValue,
    StoredService,
    ServiceCount,
    FragmentValue,
    AffinityValue,
    HardwareAddress,
    Event,
    Wanted,
    MadeUpCall,
);
pod_of_address!(
    ServiceKey,
    BackendValue,
    FlowKey,
    FlowValue,
    FragmentKey,
    PeerKey,
    PeerValue,
    AffinityKey,
    SourceRange
);
