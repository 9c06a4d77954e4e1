//! `/proc/net/ip_vs`: addresses and ports are hexadecimal, and times are in ticks of the kernel's clock (`ip_vs_info_seq_show`).

use std::net::{Ipv4Addr, SocketAddr};

use super::{Affinity, Backends, Key, Server, takes_connections};
use crate::model::Protocol;

pub(super) fn parse(text: &str, ticks_per_second: u32) -> Vec<Server> {
    let mut servers: Vec<Server> = Vec::new();
    for line in text.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["->", backend, _forward, weight, ..] => {
                let backend = address(backend).filter(|_| takes_connections(weight));
                if let Some(server) = servers.last_mut() {
                    server.backends.extend(backend);
                }
            }
            [protocol, frontend, _scheduler, ref flags @ ..] => {
                let protocol = (!protocol.is_empty())
                    .then(|| Protocol::parse(Some(protocol)))
                    .flatten();
                let key = protocol.zip(address(frontend));
                servers.extend(key.map(|(protocol, address)| Server {
                    key: Key { address, protocol },
                    affinity: affinity(flags, ticks_per_second),
                    backends: Backends::new(),
                }));
            }
            _ => {}
        }
    }
    servers
}

fn affinity(flags: &[&str], ticks_per_second: u32) -> Affinity {
    let position = flags.iter().position(|flag| *flag == "persistent");
    let ticks: Option<u32> = position.and_then(|position| flags.get(position + 1)?.parse().ok());
    ticks.map_or(Affinity::None, |ticks| {
        Affinity::Seconds(ticks / ticks_per_second.max(1))
    })
}

/// `0A600001:01BB`, or `[fd00:…]:01BB`.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.rsplit_once(':')?;
    let ip = match ip.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?.parse().ok()?,
        None => Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?).into(),
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}
