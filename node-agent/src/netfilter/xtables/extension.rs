//! Matches and targets of iptables, as they lie in the kernel: the same in the older iptables and behind nf_tables
//! (`include/uapi/linux/netfilter/xt_*.h`).

use std::net::SocketAddr;

use crate::netfilter::rule::{Rule, address};

/// `XT_ADDRTYPE_LOCAL` and `XT_ADDRTYPE_INVERT_SOURCE`.
const LOCAL: u16 = 1 << 2;
const NOT_SOURCE: u32 = 1;

/// Of these nothing has to be known: they count, or choose by chance or by state.
const HARMLESS: [&str; 8] = [
    "conntrack",
    "limit",
    "mark",
    "nfacct",
    "set",
    "state",
    "statistic",
    "physdev",
];

/// Takes what a match says into the rule. Otherwise returns what it is.
pub(in crate::netfilter) fn add_match(name: &str, data: &[u8], rule: &mut Rule) -> Result<(), String> {
    let broken = || format!("a match `{name}` of an unknown shape");
    match name {
        "comment" => {
            let text = data.split(|byte| *byte == 0).next().unwrap_or_default();
            rule.comment = Some(String::from_utf8_lossy(text).into_owned());
        }
        "tcp" | "udp" => rule.port = port(data.get(4..8).ok_or_else(broken)?),
        // Its ports stand the other way round.
        "sctp" => rule.port = port(data.get(..4).ok_or_else(broken)?),
        "addrtype" => {
            let source = number16(data, 0).ok_or_else(broken)?;
            let flags = number32(data, 4).ok_or_else(broken)?;
            rule.from_node |= source & LOCAL != 0 && flags & NOT_SOURCE == 0;
        }
        "recent" => {
            let seconds = number32(data, 0).ok_or_else(broken)?;
            rule.seconds = (seconds > 0).then_some(seconds);
        }
        _ if HARMLESS.contains(&name) => {}
        _ => return Err(format!("a match `{name}`")),
    }
    Ok(())
}

/// The same of a target.
pub(in crate::netfilter) fn add_target(
    name: &str,
    revision: u8,
    data: &[u8],
    is_v6: bool,
    rule: &mut Rule,
) -> Result<(), String> {
    name.clone_into(&mut rule.target);
    if name == "DNAT" {
        let destination = destination(revision, data, is_v6);
        rule.to_destination = Some(destination.ok_or("a target `DNAT` of an unknown shape")?);
    }
    Ok(())
}

/// The first port of a range that is one port.
fn port(range: &[u8]) -> Option<u16> {
    let (first, last) = (number16(range, 0)?, number16(range, 2)?);
    (first == last).then_some(first)
}

/// `struct nf_nat_ipv4_multi_range_compat`, and since revision 1 `struct nf_nat_range`.
fn destination(revision: u8, data: &[u8], is_v6: bool) -> Option<SocketAddr> {
    let (ip, port) = if revision == 0 && !is_v6 {
        (data.get(8..12)?, data.get(16..18)?)
    } else {
        (data.get(4..if is_v6 { 20 } else { 8 })?, data.get(36..38)?)
    };
    Some(SocketAddr::new(address(ip)?, u16::from_be_bytes(port.try_into().ok()?)))
}

pub(super) fn number16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn number32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}
