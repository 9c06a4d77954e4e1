//! The same rules as the kernel has them, without a program that prints them.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;

use super::{
    super::{Chain, Lead, Only, Role, Ruleset},
    Admitted, Element, destinations, subnets,
};
use crate::{
    cli::diff::frontend::Key,
    model::Protocol,
    netfilter::{
        NotUnderstood, address,
        listing::{self, Expression, Field, Listed, Set, Table, Verdict, is_local, range},
    },
};

/// Why the kernel's rules are not known.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli::diff) enum NotRead {
    /// The kernel does not tell.
    #[error("cannot read kube-proxy's table of nftables")]
    Kernel(#[from] io::Error),
    /// A rule has something that kube-proxy's do not have, as far as is known here.
    #[error(transparent)]
    NotUnderstood(#[from] NotUnderstood),
}

/// The rules of a family.
pub(in crate::cli::diff) fn read(table: &Table, is_v6: bool) -> Result<Ruleset, NotRead> {
    let sets: HashMap<String, Set> = table.sets()?.into_iter().map(|set| (set.name.clone(), set)).collect();
    let mut ruleset = Ruleset::default();
    let mut admitted = Admitted::new();
    for rule in table.rules(|chain| Role::of(chain).is_some())? {
        let told = Told::of(&rule, is_v6, &sets)?;
        if Role::of(&rule.chain) != Some(Role::Firewall) {
            add(ruleset.chain(&rule.chain), told, table)?;
            continue;
        }
        if let Some(set) = told.unless_in {
            let has_ranges = sets.get(&set).is_some_and(|set| set.has_ranges);
            let ranges = ranges(table.elements(&set)?, has_ranges, is_v6);
            admitted.entry(rule.chain.clone()).or_default().extend(ranges);
        }
        admitted.entry(rule.chain).or_default().extend(told.unless_from);
    }
    let elements = |map: &str| -> io::Result<Vec<Element>> {
        let read = table.elements(map)?.into_iter();
        Ok(read.map(|element| Element::of_kernel(element, is_v6)).collect())
    };
    destinations(&mut ruleset, &admitted, elements)?;
    Ok(ruleset)
}

/// What one rule says.
#[derive(Debug, Default)]
struct Told {
    goto: Option<String>,
    /// A map of chains among which one is chosen.
    choose: Option<String>,
    only: Option<Only>,
    /// Sources whose packets are not meant: a range, or a set of them.
    unless_from: Option<IpNet>,
    unless_in: Option<String>,
    endpoint: Option<SocketAddr>,
    affinity: Option<u32>,
}

impl Told {
    fn of(rule: &Listed, is_v6: bool, sets: &HashMap<String, Set>) -> Result<Self, NotUnderstood> {
        let not_understood = |what: &str| NotUnderstood {
            chain: rule.chain.clone(),
            what: what.to_owned(),
        };
        let (mut told, mut loaded, mut mask, mut values) = (Self::default(), Field::Other, None, Vec::new());
        for expression in &rule.expressions {
            match expression {
                Expression::Load { field, .. } => (loaded, mask) = (*field, None),
                Expression::Mask { mask: bits, .. } => mask = Some(bits.as_slice()),
                Expression::Compare { value, is_not, .. } => {
                    let compared = range(loaded, mask, value, is_v6);
                    match (loaded, compared, is_not) {
                        (Field::SourceKind, _, false) if is_local(value) => told.only = Some(Only::Node),
                        (_, Some((true, range)), false) => told.only = Some(Only::Sources(range)),
                        (_, Some((true, range)), true) => told.unless_from = Some(range),
                        _ => {}
                    }
                }
                // Clients that are remembered go where they went before.
                Expression::InSet { is_not: false, .. } | Expression::Count => {}
                Expression::InSet { set, .. } => told.unless_in = Some(set.clone()),
                Expression::Choose { map } => told.choose = Some(map.clone()),
                Expression::Value { register, value } => values.push((*register, value.clone())),
                Expression::Verdict(Verdict::Chain(chain)) => told.goto = Some(chain.clone()),
                Expression::Verdict(_) | Expression::Reject => {}
                Expression::Destination { address, port } => {
                    let destination = listing::destination(&values, *address, *port);
                    told.endpoint = Some(destination.ok_or_else(|| not_understood("a destination"))?);
                }
                Expression::Remember { set } => told.affinity = sets.get(set).and_then(|set| set.forgets_after),
                Expression::Match { name, .. } | Expression::Target { name, .. } => return Err(not_understood(name)),
                Expression::Other(what) => return Err(not_understood(what)),
            }
        }
        Ok(told)
    }
}

fn add(chain: &mut Chain, told: Told, table: &Table) -> io::Result<()> {
    chain.endpoint = told.endpoint.or(chain.endpoint);
    chain.affinity = told.affinity.or(chain.affinity);
    let only = told.only.unwrap_or(Only::Everyone);
    let mut leads: Vec<_> = told.goto.into_iter().collect();
    if let Some(map) = told.choose {
        let elements = table.elements(&map)?.into_iter();
        leads.extend(elements.filter_map(|element| match element.verdict {
            Some(Verdict::Chain(chain)) => Some(chain),
            _ => None,
        }));
    }
    let leads = leads.into_iter().filter(|chain| Role::of(chain).is_some());
    chain.leads.extend(leads.map(|chain| Lead { chain, only }));
    Ok(())
}

impl Element {
    fn of_kernel(element: listing::Element, is_v6: bool) -> Self {
        Self {
            key: destination(&element.key, is_v6),
            goto: match element.verdict {
                Some(Verdict::Chain(chain)) => Some(chain),
                _ => None,
            },
            comment: element.comment,
        }
    }
}

/// Protocol and port, behind an address if it is not a NodePort. Each part is filled up to four bytes.
fn destination(key: &[u8], is_v6: bool) -> Option<Key> {
    let (address, rest) = key.split_at_checked(key.len().checked_sub(8)?)?;
    let protocol = Protocol::of_number(rest[0])?;
    let port = u16::from_be_bytes([rest[4], rest[5]]);
    Some(match self::address(address) {
        Some(ip) => Key {
            address: SocketAddr::new(ip, port),
            protocol,
        },
        None => Key::node_port(is_v6, port, protocol),
    })
}

/// The addresses of a set. Where it has ranges, each begins with an element and ends before another one.
fn ranges(mut elements: Vec<listing::Element>, has_ranges: bool, is_v6: bool) -> Vec<IpNet> {
    if !has_ranges {
        return elements
            .iter()
            .filter_map(|element| address(&element.key))
            .map(IpNet::from)
            .collect();
    }
    // What ends at a key is before what begins there.
    elements.sort_by(|a, b| (&a.key, !a.is_end).cmp(&(&b.key, !b.is_end)));
    let (mut ranges, mut begun) = (Vec::new(), None);
    let last = IpAddr::from([0xff; 16]);
    let last = if is_v6 { last } else { IpAddr::from([0xff; 4]) };
    for element in elements {
        let Some(address) = address(&element.key) else { continue };
        if let Some((from, to)) = begun.take().zip(before(address)) {
            ranges.extend(subnets(from, to));
        }
        begun = (!element.is_end).then_some(address);
    }
    ranges.extend(begun.into_iter().flat_map(|from| subnets(from, last)));
    ranges
}

fn before(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(v4) => v4.to_bits().checked_sub(1).map(|bits| IpAddr::V4(bits.into())),
        IpAddr::V6(v6) => v6.to_bits().checked_sub(1).map(|bits| IpAddr::V6(bits.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(key: [u8; 4], is_end: bool) -> listing::Element {
        listing::Element {
            key: key.to_vec(),
            verdict: None,
            comment: None,
            is_end,
        }
    }

    #[test]
    fn ranges_are_between_their_ends_in_whatever_order_these_come() {
        let elements = vec![
            element([198, 51, 101, 0], true),
            element([192, 0, 2, 10], false),
            element([0, 0, 0, 0], true),
            element([198, 51, 100, 0], false),
            element([192, 0, 2, 11], true),
            element([240, 0, 0, 0], false),
        ];
        let texts = |ranges: Vec<IpNet>| ranges.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            texts(ranges(elements, true, false)),
            ["192.0.2.10/32", "198.51.100.0/24", "240.0.0.0/4"]
        );
        let plain = vec![element([192, 0, 2, 10], false), element([192, 0, 2, 12], false)];
        assert_eq!(texts(ranges(plain, false, false)), ["192.0.2.10/32", "192.0.2.12/32"]);
    }

    #[test]
    fn a_key_has_an_address_if_it_is_no_node_port() {
        let tail = [6, 0, 0, 0, 0x75, 0x80, 0, 0];
        assert_eq!(
            destination(&tail, true),
            Some(Key::node_port(true, 30_080, Protocol::Tcp))
        );
        let key = [&[10, 96, 0, 20][..], &tail].concat();
        assert_eq!(destination(&key, false).unwrap().to_string(), "10.96.0.20:30080/TCP");
        assert_eq!(destination(&tail[..7], false), None);
    }
}
