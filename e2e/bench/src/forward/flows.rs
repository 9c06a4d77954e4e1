//! The flows whose packets are forwarded: begun by real sockets of the outside client, which the backend answers.

use std::{
    net::{Ipv4Addr, SocketAddrV4, UdpSocket},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use aya::maps::{HashMap, Map, MapData};
use kpr_abi::{Addr4, FlowKey, FlowValue, flow::direction, maps, proto};
use kpr_cluster::net::Netns;
use kpr_node_agent::datapath::Pins;

use super::datagram::Datagram;
use crate::packets::frame::{GATEWAY_MAC, NODE_MAC};

/// How many there are.
pub(super) const FLOWS: u32 = 1_000;
/// Source port of the first one.
const FIRST_PORT: u16 = 20_000;
/// The outside client.
pub(super) const CLIENT: Ipv4Addr = Ipv4Addr::new(192, 168, 49, 100);
/// The node's own address, and the NodePort.
pub(super) const NODE: Ipv4Addr = Ipv4Addr::new(192, 168, 49, 2);
pub(super) const NODE_PORT: u16 = 31_683;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The client's side of each of them.
fn clients() -> impl Iterator<Item = SocketAddrV4> {
    let ports = (FIRST_PORT..).take(FLOWS as usize);
    ports.map(|port| SocketAddrV4::new(CLIENT, port))
}

/// A datagram of each flow.
pub(super) fn datagrams() -> Vec<Datagram> {
    let datagram = |src| Datagram {
        src,
        dst: SocketAddrV4::new(NODE, NODE_PORT),
        ttl: 64,
        hop: [GATEWAY_MAC, NODE_MAC],
    };
    clients().map(datagram).collect()
}

/// Asks through each of them, and hears the backend's answer. `client`: where the client is.
pub(super) fn begin(client: &Netns) -> Result<()> {
    client.run(|| clients().try_for_each(ask))
}

fn ask(from: SocketAddrV4) -> Result<()> {
    let socket = UdpSocket::bind(from)?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.connect((NODE, NODE_PORT))?;
    let question = from.port().to_be_bytes();
    socket.send(&question)?;
    let mut answer = [0; 64];
    let length = socket
        .recv(&mut answer)
        .with_context(|| format!("hear the backend as {from}"))?;
    ensure!(
        answer[..length] == question,
        "{from} was answered {:?}",
        &answer[..length]
    );
    Ok(())
}

/// The entries that kpr has for requests.
pub(super) fn known(pins: &Pins) -> Result<Vec<(FlowKey<Addr4>, FlowValue<Addr4>)>> {
    let map = Map::from_map_data(MapData::from_pin(pins.map(maps::FLOWS4))?)?;
    let flows: HashMap<MapData, FlowKey<Addr4>, FlowValue<Addr4>> = map.try_into()?;
    let keys: Vec<_> = flows.keys().collect::<Result<_, _>>()?;
    let ours = |key: &FlowKey<Addr4>| {
        let from = SocketAddrV4::new(key.src.into(), key.sport.host());
        key.direction == direction::FORWARD && key.proto == proto::UDP && clients().any(|client| client == from)
    };
    let mut known = Vec::new();
    for key in keys.into_iter().filter(ours) {
        known.push((key, flows.get(&key, 0)?));
    }
    ensure!(
        known.len() == FLOWS as usize,
        "{} of {FLOWS} flows are known",
        known.len()
    );
    Ok(known)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::checksum::{fold, sum};

    #[test]
    fn every_flow_has_a_port_of_its_own() {
        let clients: HashSet<_> = clients().collect();
        assert_eq!(clients.len(), FLOWS as usize);
    }

    /// XDP lets a packet go up whose checksum is the sum over its pseudo header alone, as if it were left to a network card.
    #[test]
    fn no_datagram_looks_as_if_its_checksum_were_unfinished() {
        for datagram in datagrams() {
            let bytes = datagram.bytes();
            let pseudo = fold(u32::from(sum(&bytes[26..34])) + 17 + 26);
            assert_ne!(u16::from_be_bytes([bytes[40], bytes[41]]), pseudo, "{datagram:?}");
        }
    }
}
