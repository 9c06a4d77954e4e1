//! Which backends may keep their sockets, as the thread that closes them is told.

use std::{net::SocketAddr, sync::Arc};

use super::{
    fake::Kernel,
    rig::{Rig, datapath, spec},
};
use crate::{
    model::{
        NamespacedName,
        tests::fixtures::{SliceBuilder, SvcBuilder, ep, slice, svc},
    },
    sockets::Orders,
    watch::Change,
};

fn dns() -> Change {
    Change::Service(Box::new(svc("dns").udp("dns", 53).parse()))
}

fn at(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 244, 0, last], 53))
}
