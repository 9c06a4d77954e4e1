//! The first look at a packet: where it is for. Most are for no service, and are told so before anything more of them is read.

use crate::{balance, config, flow, headers::Headers, maps::Tables, tc::dsr};
use kpr_abi::{Address as _, Be16, ServiceKey};
use kpr_packet::{Destination, Packet};

/// Whether there may be something to do for the packet that came in and whose network header is at `l3`. Where this says no, which it does
/// of nearly all that are no service's, it is two reads of arrays that say so, and no look-up in a hash.
#[inline(always)]
pub fn may_be_ours<F: Headers, P: Packet>(packet: &P, l3: usize) -> bool {
    let Some(destination) = F::destination(packet, l3) else {
        return true;
    };
    let Destination { addr, port, proto, .. } = destination;
    has_port_of_ours(port)
        || dsr::has_port(proto, port)
        // The exact one first: an IPv6 address that outlives a look-up would cost stack, of which old kernels have none left here.
        || balance::may_be_frontend::<F>(&ServiceKey::new(addr, port, proto))
        || balance::may_be_frontend::<F>(&ServiceKey::new(F::Addr::ANY, port, proto))
        || flow::any_lingers::<F>()
        // A local backend may know its tuple as a flow's.
        || destination.may_open(packet)
}

/// Whether a flow that is sent on, to a remote backend or back, may have packets for this destination.
///
/// What [`may_be_ours`] looks for besides has no such flows: loopback addresses have none at all, and backends of hostPorts are on this node.
#[inline(always)]
pub fn may_be_sent_on<F: Tables>(destination: Destination<F::Addr>) -> bool {
    let Destination { addr, port, proto, .. } = destination;
    has_port_of_ours(port)
        || balance::has_frontend::<F>(&ServiceKey::new(addr, port, proto))
        || flow::any_lingers::<F>()
}

/// Whether it is a NodePort, or one that flows of other clients have on their way to remote backends.
#[inline(always)]
fn has_port_of_ours(port: Be16) -> bool {
    config::is_node_port(port) || config::is_snat_port(port)
}
