//! What is in a table of nf_tables: rules, sets and their elements, as far as kpr has to do with them.

use std::io;

use ipnet::IpNet;

use super::{
    expression::{self, number, read_verdict, text},
    message::{Attributes, Nfnetlink, attribute, attributes},
    nf_tables::{
        CHAIN_NAME, CHAIN_TABLE, GET_CHAIN, GET_RULE, RULE_CHAIN, RULE_EXPRESSIONS, RULE_TABLE, has_table, terminated,
    },
    rule::{NotUnderstood, Rule, Source, address, protocol},
    xtables::extension::{add_match, add_target},
};

pub use super::expression::{Expression, Field, Verdict};

const GET_SET: u16 = 0xa0a;
const GET_ELEMENT: u16 = 0xa0d;
const RULE_USER_DATA: u16 = 7;
const SET_TABLE: u16 = 1;
const SET_NAME: u16 = 2;
const SET_FLAGS: u16 = 3;
const SET_TIMEOUT: u16 = 11;
const INTERVALS: u32 = 4;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_FLAGS: u16 = 3;
const ELEMENT_USER_DATA: u16 = 6;
const INTERVAL_END: u32 = 1;
/// `RTN_LOCAL`.
const LOCAL: u32 = 2;
/// Where the source address is in the header of IPv4 and of IPv6; the destination follows it.
const SOURCE_AT: [u32; 2] = [12, 8];
const LENGTH: [u32; 2] = [4, 16];

/// A rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The chain that it is in.
    pub chain: String,
    /// What somebody wrote beside it.
    pub comment: Option<String>,
    /// What it does, in order.
    pub expressions: Vec<Expression>,
}

/// A set or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Its elements are the ends of ranges.
    pub has_ranges: bool,
    /// After how many seconds it forgets an element, if it does.
    pub forgets_after: Option<u32>,
}

/// An element of a set or a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// Its key; parts of a key are filled up to four bytes each.
    pub key: Vec<u8>,
    /// What becomes of packets with it, in a map of verdicts.
    pub verdict: Option<Verdict>,
    /// What somebody wrote beside it.
    pub comment: Option<String>,
    /// It is the first key behind a range of keys.
    pub is_end: bool,
}

/// A table of a family.
pub struct Table {
    netfilter: Nfnetlink,
    family: u8,
    name: String,
}

impl Table {
    /// None if there is none. `is_v6`: the family `ip6`, else `ip`.
    pub fn open(is_v6: bool, name: &str) -> io::Result<Option<Self>> {
        let netfilter = Nfnetlink::open()?;
        let family = if is_v6 { libc::AF_INET6 } else { libc::AF_INET };
        let family = u8::try_from(family).map_err(io::Error::other)?;
        let there = has_table(&netfilter, family, name);
        Ok(there.then(|| Self {
            netfilter,
            family,
            name: name.to_owned(),
        }))
    }

    /// The rules of the chains that `wanted` names, each in order.
    pub fn rules(&self, wanted: impl Fn(&str) -> bool) -> io::Result<Vec<Listed>> {
        let mut chains = Vec::new();
        self.list(GET_CHAIN, CHAIN_TABLE, None, |chain| {
            let name = text(attribute(chain, CHAIN_NAME).unwrap_or_default());
            if wanted(&name) {
                chains.push(name);
            }
        })?;
        let mut rules = Vec::new();
        // To list all of a large table at once takes time that grows with the square of its rules.
        for wanted in &chains {
            self.list(GET_RULE, RULE_TABLE, Some((RULE_CHAIN, wanted)), |rule| {
                let chain = text(attribute(rule, RULE_CHAIN).unwrap_or_default());
                if chain == *wanted {
                    rules.push(Listed {
                        chain,
                        comment: attribute(rule, RULE_USER_DATA).and_then(comment),
                        expressions: expression::all(attribute(rule, RULE_EXPRESSIONS).unwrap_or_default()),
                    });
                }
            })?;
        }
        Ok(rules)
    }

    /// Its sets and maps.
    pub fn sets(&self) -> io::Result<Vec<Set>> {
        let mut sets = Vec::new();
        self.list(GET_SET, SET_TABLE, None, |set| {
            let milliseconds = attribute(set, SET_TIMEOUT).and_then(|it| Some(u64::from_be_bytes(it.try_into().ok()?)));
            sets.push(Set {
                name: text(attribute(set, SET_NAME).unwrap_or_default()),
                has_ranges: number(set, SET_FLAGS).is_some_and(|flags| flags & INTERVALS != 0),
                forgets_after: milliseconds.and_then(|milliseconds| u32::try_from(milliseconds / 1000).ok()),
            });
        })?;
        Ok(sets)
    }

    /// The elements of a set or a map; none if it isn't there.
    pub fn elements(&self, set: &str) -> io::Result<Vec<Element>> {
        let mut elements = Vec::new();
        let listed = self.list(GET_ELEMENT, SET_TABLE, Some((SET_NAME, set)), |message| {
            let list = attribute(message, 3).unwrap_or_default();
            elements.extend(attributes(list).filter_map(|(_, element)| read_element(element)));
        });
        match listed {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(Vec::new()),
            listed => listed.map(|()| elements),
        }
    }

    /// `table`: the attribute that names it. `of`: another attribute, and a name.
    fn list(&self, kind: u16, table: u16, of: Option<(u16, &str)>, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        let mut of_table = Attributes::default();
        of_table.put(table, &terminated(&self.name));
        if let Some((attribute, name)) = of {
            of_table.put(attribute, &terminated(name));
        }
        self.netfilter.list(kind, self.family, &of_table, |entry| {
            // An attribute is but a hint to the kernel, which may list more.
            if attribute(entry, table).is_some_and(|of| text(of) == self.name) {
                take(entry);
            }
        })
    }
}

fn read_element(element: &[u8]) -> Option<Element> {
    let key = attribute(attribute(element, ELEMENT_KEY)?, 1)?;
    Some(Element {
        key: key.to_vec(),
        verdict: attribute(element, ELEMENT_DATA).and_then(read_verdict),
        comment: attribute(element, ELEMENT_USER_DATA).and_then(comment),
        is_end: number(element, ELEMENT_FLAGS).is_some_and(|flags| flags & INTERVAL_END != 0),
    })
}

/// The first entry of user data, if it is a comment: kind, length and text.
fn comment(data: &[u8]) -> Option<String> {
    match data {
        [0, length, rest @ ..] => Some(text(rest.get(..usize::from(*length))?)),
        _ => None,
    }
}

/// Where a packet comes from or goes to, by what was loaded and compared. None: neither.
pub fn range(field: Field, mask: Option<&[u8]>, value: &[u8], is_v6: bool) -> Option<(bool, IpNet)> {
    let Field::Network(at, length) = field else { return None };
    let (source, full) = (SOURCE_AT[usize::from(is_v6)], LENGTH[usize::from(is_v6)]);
    let is_source = match at {
        _ if at == source => true,
        _ if at == source + full => false,
        _ => return None,
    };
    // Of a prefix of whole bytes only these are loaded.
    let bits = mask.map_or(8 * length, |mask| mask.iter().map(|byte| byte.count_ones()).sum());
    let mut whole = value.get(..usize::try_from(length).ok()?)?.to_vec();
    whole.resize(usize::try_from(full).ok()?, 0);
    let range = IpNet::new(address(&whole)?, u8::try_from(bits).ok()?).ok()?;
    Some((is_source, range))
}

/// Whether the kind of the source address, as it is compared, is the node's own.
pub fn is_local(value: &[u8]) -> bool {
    value
        .first_chunk()
        .is_some_and(|bytes| u32::from_ne_bytes(*bytes) == LOCAL)
}

/// A rule that iptables has made. What is not understood in it is an error.
pub fn iptables_rule(listed: &Listed, is_v6: bool) -> Result<Rule, NotUnderstood> {
    let mut rule = Rule {
        chain: listed.chain.clone(),
        comment: listed.comment.clone(),
        ..Rule::default()
    };
    let mut loaded = None;
    let mut mask = None;
    let mut values = Vec::new();
    for expression in &listed.expressions {
        let understood = match expression {
            Expression::Load { field, .. } => {
                (loaded, mask) = (Some(*field), None);
                Ok(())
            }
            Expression::Mask { mask: bits, .. } => {
                mask = Some(bits.clone());
                Ok(())
            }
            Expression::Compare { is_not, value, .. } => {
                compare(&mut rule, loaded, mask.as_deref(), *is_not, value, is_v6);
                Ok(())
            }
            Expression::Match { name, data } => add_match(name, data, &mut rule),
            Expression::Target { name, revision, data } => add_target(name, *revision, data, is_v6, &mut rule),
            Expression::Verdict(verdict) => {
                rule.target = match verdict {
                    Verdict::Chain(chain) => chain.clone(),
                    Verdict::Drop => "DROP".to_owned(),
                    Verdict::Other => String::new(),
                };
                Ok(())
            }
            Expression::Reject => {
                "REJECT".clone_into(&mut rule.target);
                Ok(())
            }
            Expression::Value { register, value } => {
                values.push((*register, value.clone()));
                Ok(())
            }
            Expression::Destination { address, port } => {
                "DNAT".clone_into(&mut rule.target);
                rule.to_destination = destination(&values, *address, *port);
                rule.to_destination
                    .map(|_| ())
                    .ok_or_else(|| "a destination".to_owned())
            }
            Expression::Count => Ok(()),
            Expression::InSet { .. } | Expression::Choose { .. } | Expression::Remember { .. } => {
                Err("a set".to_owned())
            }
            Expression::Other(what) => Err(what.clone()),
        };
        understood.map_err(|what| NotUnderstood {
            chain: listed.chain.clone(),
            what,
        })?;
    }
    Ok(rule)
}

fn compare(rule: &mut Rule, loaded: Option<Field>, mask: Option<&[u8]>, is_not: bool, value: &[u8], is_v6: bool) {
    match loaded {
        Some(Field::Protocol) if !is_not => rule.protocol = value.first().and_then(|byte| protocol((*byte).into())),
        Some(Field::Transport(2, 2)) if !is_not => {
            rule.port = value.first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
        }
        Some(Field::SourceKind) => rule.from_node |= !is_not && is_local(value),
        Some(field) => match range(field, mask, value, is_v6) {
            Some((true, range)) => rule.source = Some(Source { range, is_not }),
            Some((false, range)) if !is_not => rule.destination = Some(range),
            _ => {}
        },
        None => {}
    }
}

/// The destination whose parts are in these registers.
pub fn destination(values: &[(u32, Vec<u8>)], at: u32, port: Option<u32>) -> Option<std::net::SocketAddr> {
    let of = |register| {
        values
            .iter()
            .rfind(|(of, _)| *of == register)
            .map(|(_, value)| value.as_slice())
    };
    let port = u16::from_be_bytes(*of(port?)?.first_chunk()?);
    Some(std::net::SocketAddr::new(address(of(at)?)?, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(expressions: Vec<Expression>) -> Result<Rule, NotUnderstood> {
        let listed = Listed {
            chain: "KUBE-SEP-A".into(),
            comment: Some("default/web:http".into()),
            expressions,
        };
        iptables_rule(&listed, false)
    }

    fn load(field: Field) -> Expression {
        Expression::Load { register: 1, field }
    }

    fn is(value: &[u8]) -> Expression {
        Expression::Compare {
            register: 1,
            is_not: false,
            value: value.to_vec(),
        }
    }

    #[test]
    fn expressions_of_nf_tables_say_what_words_of_iptables_do() {
        let value = |register, value: &[u8]| Expression::Value {
            register,
            value: value.to_vec(),
        };
        let read = rule(vec![
            load(Field::Protocol),
            is(&[17]),
            load(Field::Network(12, 4)),
            Expression::Mask {
                register: 1,
                mask: vec![255, 255, 240, 0],
            },
            is(&[10, 244, 16, 0]),
            load(Field::Transport(2, 2)),
            is(&53_u16.to_be_bytes()),
            load(Field::SourceKind),
            is(&LOCAL.to_ne_bytes()),
            Expression::Count,
            value(1, &[10, 244, 0, 2]),
            value(2, &5353_u16.to_be_bytes()),
            Expression::Destination {
                address: 1,
                port: Some(2),
            },
        ]);
        let expected = Rule {
            chain: "KUBE-SEP-A".into(),
            target: "DNAT".into(),
            comment: Some("default/web:http".into()),
            source: Some(Source {
                range: "10.244.16.0/20".parse().unwrap(),
                is_not: false,
            }),
            protocol: Some(crate::model::Protocol::Udp),
            port: Some(53),
            from_node: true,
            to_destination: Some("10.244.0.2:5353".parse().unwrap()),
            ..Rule::default()
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn a_prefix_of_whole_bytes_is_as_long_as_what_was_loaded() {
        let of = |field, value: &[u8], is_v6| {
            range(field, None, value, is_v6).map(|(is_source, it)| (is_source, it.to_string()))
        };
        assert_eq!(
            of(Field::Network(12, 2), &[10, 244], false),
            Some((true, "10.244.0.0/16".into()))
        );
        assert_eq!(
            of(Field::Network(24, 6), &[0xfd, 0, 0, 0x10, 0, 0x96], true),
            Some((false, "fd00:10:96::/48".into()))
        );
        assert_eq!(of(Field::Network(9, 1), &[6], false), None);
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_names_it() {
        let unknown = Expression::Match {
            name: "u32".into(),
            data: vec![0; 8],
        };
        let error = rule(vec![unknown]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "a rule of the chain KUBE-SEP-A has a match `u32`, which is not understood here"
        );
        let elsewhere = Expression::Destination { address: 1, port: None };
        for wrong in [elsewhere, Expression::Other("an expression `range`".into())] {
            assert!(rule(vec![wrong]).is_err());
        }
    }

    #[test]
    fn a_comment_is_the_first_of_user_data() {
        assert_eq!(comment(b"\0\x05idle\0rest"), Some("idle".into()));
        assert_eq!(comment(b"\0\x7fidle"), None, "longer than it is");
        assert_eq!(comment(b"\x01\x01x"), None, "something else");
    }
}
