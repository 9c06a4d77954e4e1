//! `aya::Pod` for every type that user space reads from or writes to a map.

use crate::{
    Addr4, Addr6, BackendValue, Be16, FlowKey, FlowValue, PeerKey, PeerValue, ServiceKey, ServiceValue, Slice,
};

macro_rules! pod {
    ($($type:ty),+ $(,)?) => {
        // SAFETY: `repr(C)` integers without padding (proven by `layout!` where the type is defined): every bit
        // pattern is a value.
        $(unsafe impl aya::Pod for $type {})+
    };
}

pod!(Be16, Addr4, Addr6, Slice, ServiceValue);
pod!(
    ServiceKey<Addr4>,
    ServiceKey<Addr6>,
    BackendValue<Addr4>,
    BackendValue<Addr6>
);
pod!(FlowKey<Addr4>, FlowKey<Addr6>, FlowValue<Addr4>, FlowValue<Addr6>);
pod!(PeerKey<Addr4>, PeerKey<Addr6>, PeerValue<Addr4>, PeerValue<Addr6>);
