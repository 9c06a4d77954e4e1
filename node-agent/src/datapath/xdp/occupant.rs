//! Which XDP program a device has.

use super::PROGRAM;
use aya::programs::loaded_programs;
use netlink_packet_core::{NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};
use netlink_sys::{Socket, protocols::NETLINK_ROUTE};
use rtnetlink::packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp},
};
use std::io;

/// Whether it is kpr's own.
pub(super) fn is_own(ifindex: u32) -> bool {
    program(ifindex)
        .ok()
        .flatten()
        .is_some_and(|id| name(id).is_some_and(|name| name == PROGRAM))
}

/// The program, as a message names it.
pub(super) fn describe(ifindex: u32) -> String {
    let Ok(Some(id)) = program(ifindex) else {
        return "another XDP program".to_owned();
    };
    match name(id) {
        Some(name) => format!("the XDP program {name} (id {id})"),
        None => format!("the XDP program with id {id}"),
    }
}

fn name(id: u32) -> Option<String> {
    let info = loaded_programs().filter_map(Result::ok).find(|info| info.id() == id)?;
    let name = info.name_as_str()?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Id of the device's program, in whatever mode.
fn program(ifindex: u32) -> io::Result<Option<u32>> {
    let mut request = LinkMessage::default();
    request.header.index = ifindex;
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::GetLink(request));
    request.header.flags = NLM_F_REQUEST;
    request.finalize();
    let mut bytes = vec![0; request.buffer_len()];
    request.serialize(&mut bytes);
    let mut socket = Socket::new(NETLINK_ROUTE)?;
    socket.bind_auto()?;
    socket.send(&bytes, 0)?;
    let (answer, _) = socket.recv_from_full()?;
    let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer).map_err(io::Error::other)?;
    let NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) = answer.payload else {
        return Err(io::ErrorKind::NotFound.into());
    };
    let attributes = link.attributes.into_iter().filter_map(|attribute| match attribute {
        LinkAttribute::Xdp(xdp) => Some(xdp),
        _ => None,
    });
    Ok(attributes.flatten().find_map(|xdp| match xdp {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) if id != 0 => Some(id),
        _ => None,
    }))
}
