//! One entry of a table of the older iptables, in words (`struct ipt_entry`, `struct ip6t_entry`).

use ipnet::IpNet;

use super::{
    blob::Layout,
    extension::{add_match, add_target, number16},
};
use crate::netfilter::rule::{NotUnderstood, Rule, Source, address, protocol};

/// `struct xt_entry_match` and `struct xt_entry_target`: size, name and revision.
const HEADER: usize = 32;
/// `IPT_INV_SRCIP`, `IPT_INV_DSTIP` and `IPT_INV_PROTO`.
const NOT_SOURCE: u8 = 0x08;
const NOT_DESTINATION: u8 = 0x10;
const NOT_PROTOCOL: u8 = 0x40;
/// `-NF_DROP - 1`.
const DROP: i32 = -1;

/// `jump`: the chain that it leads to, if it does.
pub(super) fn rule(layout: Layout, chain: &str, entry: &[u8], jump: Option<String>) -> Result<Rule, NotUnderstood> {
    let mut rule = Rule {
        chain: chain.to_owned(),
        ..Rule::default()
    };
    let not_understood = |what: String| NotUnderstood {
        chain: chain.to_owned(),
        what,
    };
    head(layout, entry, &mut rule).ok_or_else(|| not_understood("an entry that is cut off".to_owned()))?;
    extensions(layout, entry, jump, &mut rule).map_err(not_understood)?;
    Ok(rule)
}

/// Addresses and protocol.
fn head(layout: Layout, entry: &[u8], rule: &mut Rule) -> Option<()> {
    let length = if layout.is_v6() { 16 } else { 4 };
    let (number, flags) = if layout.is_v6() { (128, 132) } else { (80, 83) };
    let flags = *entry.get(flags)?;
    let part = |index: usize| entry.get(index * length..(index + 1) * length).and_then(address);
    let range = |ip, mask| Some(IpNet::with_netmask(ip?, mask?).ok()?.trunc()).filter(|range| range.prefix_len() > 0);
    let is_not = flags & NOT_SOURCE != 0;
    rule.source = range(part(0), part(2)).map(|range| Source { range, is_not });
    rule.destination = range(part(1), part(3)).filter(|_| flags & NOT_DESTINATION == 0);
    let number = number16(entry, number)?;
    rule.protocol = protocol(number).filter(|_| flags & NOT_PROTOCOL == 0);
    Some(())
}

fn extensions(layout: Layout, entry: &[u8], jump: Option<String>, rule: &mut Rule) -> Result<(), String> {
    let cut_off = || "an entry that is cut off".to_owned();
    let target = usize::from(number16(entry, layout.target_offset).ok_or_else(cut_off)?);
    let mut rest = entry.get(layout.size..target).ok_or_else(cut_off)?;
    while !rest.is_empty() {
        let size = usize::from(number16(rest, 0).ok_or_else(cut_off)?);
        let (one, after) = rest
            .split_at_checked(size)
            .filter(|_| size >= HEADER)
            .ok_or_else(cut_off)?;
        let (name, _revision, data) = extension(one);
        add_match(&name, data, rule)?;
        rest = after;
    }
    let (name, revision, data) = extension(
        entry
            .get(target..)
            .filter(|it| it.len() >= HEADER)
            .ok_or_else(cut_off)?,
    );
    if !name.is_empty() {
        return add_target(&name, revision, data, layout.is_v6(), rule);
    }
    let verdict = data.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
    rule.target = match (jump, verdict) {
        (Some(chain), _) => chain,
        (None, Some(DROP)) => "DROP".to_owned(),
        // A rule that only counts, or one that lets packets go.
        (None, _) => String::new(),
    };
    Ok(())
}

/// Name, revision and data.
fn extension(bytes: &[u8]) -> (String, u8, &[u8]) {
    let name = bytes[2..31].split(|byte| *byte == 0).next().unwrap_or_default();
    (String::from_utf8_lossy(name).into_owned(), bytes[31], &bytes[HEADER..])
}

impl Layout {
    fn is_v6(self) -> bool {
        self == super::blob::V6
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netfilter::xtables::blob::V4;

    #[test]
    fn an_entry_that_is_cut_off_is_an_error_at_every_length() {
        let mut entry = [0; 112];
        entry[88..90].copy_from_slice(&200_u16.to_ne_bytes());
        for length in 0..entry.len() {
            assert!(rule(V4, "KUBE-SERVICES", &entry[..length], None).is_err(), "{length}");
        }
    }

    #[test]
    fn addresses_are_in_networks_order() {
        let mut rule = Rule::default();
        let mut entry = [0; 112];
        entry[..4].copy_from_slice(&[10, 244, 0, 0]);
        entry[8..12].copy_from_slice(&[255, 255, 0, 0]);
        entry[80..82].copy_from_slice(&6_u16.to_ne_bytes());
        entry[83] = NOT_SOURCE;
        head(V4, &entry, &mut rule).unwrap();
        let range = "10.244.0.0/16".parse().unwrap();
        assert_eq!(rule.source, Some(Source { range, is_not: true }));
        assert_eq!(
            (rule.destination, rule.protocol),
            (None, Some(crate::model::Protocol::Tcp))
        );
    }
}
