//! What `nft --json list ruleset` prints of kube-proxy's nftables mode.

mod kernel;

use std::{
    collections::HashMap,
    convert::Infallible,
    net::{IpAddr, SocketAddr},
};

use ipnet::IpNet;
use serde_json::Value;

use super::{Lead, Only, Refused, Role, Ruleset, Way, name_in};
use crate::{
    cli::diff::frontend::{Key, Refusal},
    model::{Kind, Protocol},
    takeover::names::NFTABLES_TABLE,
};

pub(in crate::cli::diff) use kernel::read;

/// Why a text is not what this program prints.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli::diff) enum NotListed {
    /// It is no JSON.
    #[error("this is no output of `nft --json list ruleset`, or it is cut off")]
    NoJson(#[from] serde_json::Error),
    /// Somebody else's rules.
    #[error("this output of nft has no table `{NFTABLES_TABLE}`")]
    NoTable,
}

/// The rules of both families: IPv4's, then IPv6's.
pub(in crate::cli::diff) fn parse(listed: &str) -> Result<[Ruleset; 2], NotListed> {
    let listed: Value = serde_json::from_str(listed)?;
    let objects = || listed["nftables"].as_array().into_iter().flatten();
    let mut any = false;
    let mut of_family = |family: &str, is_v6| {
        let of_kind = |kind: &str| {
            let all = objects().filter_map(|object| object.get(kind).cloned());
            let own = all.filter(|it| it["family"] == family && it["table"] == NFTABLES_TABLE);
            own.collect::<Vec<_>>()
        };
        any |= objects().any(|it| it["table"]["family"] == family && it["table"]["name"] == NFTABLES_TABLE);
        Table {
            is_v6,
            maps: of_kind("map"),
            sets: of_kind("set"),
            rules: of_kind("rule"),
        }
        .ruleset()
    };
    let rulesets = [of_family("ip", false), of_family("ip6", true)];
    if any { Ok(rulesets) } else { Err(NotListed::NoTable) }
}

/// The table of one family.
struct Table {
    is_v6: bool,
    maps: Vec<Value>,
    sets: Vec<Value>,
    rules: Vec<Value>,
}

impl Table {
    fn ruleset(&self) -> Ruleset {
        let mut ruleset = Ruleset::default();
        let times = self.times();
        let mut admitted = Admitted::new();
        for rule in &self.rules {
            let (Some(chain), Some(expressions)) = (rule["chain"].as_str(), rule["expr"].as_array()) else {
                continue;
            };
            match Role::of(chain) {
                Some(Role::Firewall) => {
                    let drops = expressions.iter().any(|expression| expression.get("drop").is_some());
                    if let Some(sources) = expressions.iter().find_map(unless_from).filter(|_| drops) {
                        admitted.entry(chain.to_owned()).or_default().extend(sources);
                    }
                }
                Some(_) => add(ruleset.chain(chain), expressions, &times),
                None => {}
            }
        }
        let elements = |map: &str| Ok::<_, Infallible>(self.elements(map).collect());
        let Ok(()) = destinations(&mut ruleset, &admitted, elements);
        ruleset
    }

    /// For how long the sets that remember clients do, in seconds.
    fn times(&self) -> HashMap<&str, u32> {
        let timed = self.sets.iter().filter_map(|set| {
            let seconds = u32::try_from(set["timeout"].as_u64()?).ok()?;
            Some((set["name"].as_str()?, seconds))
        });
        timed.collect()
    }

    fn elements(&self, map: &str) -> impl Iterator<Item = Element> {
        let map = self.maps.iter().find(|found| found["name"] == map);
        let elements = map.and_then(|map| map["elem"].as_array()).into_iter().flatten();
        elements.map(|element| Element::read(element, self.is_v6))
    }
}

/// Who may pass, by chain of the firewall.
type Admitted = HashMap<String, Vec<IpNet>>;

/// Adds what the maps from destinations to verdicts have. `elements`: those of a map.
fn destinations<E>(
    ruleset: &mut Ruleset,
    admitted: &Admitted,
    elements: impl Fn(&str) -> Result<Vec<Element>, E>,
) -> Result<(), E> {
    let firewalls = elements("firewall-ips")?.into_iter();
    let firewalls: HashMap<Key, String> = firewalls
        .filter_map(|element| Some((element.key?, element.goto?)))
        .collect();
    for map in ["service-ips", "service-nodeports"] {
        for element in elements(map)? {
            let (Some(key), Some(chain)) = (element.key, element.goto) else {
                continue;
            };
            let firewall = firewalls.get(&key);
            let sources = firewall.and_then(|chain| admitted.get(chain));
            ruleset.ways.push(Way {
                key,
                name: service_of(&chain),
                kind: kind(&key, &chain, firewall.is_some()),
                chain,
                sources: sources.cloned(),
            });
        }
    }
    for map in ["no-endpoint-services", "no-endpoint-nodeports"] {
        for element in elements(map)? {
            let Some(key) = element.key else { continue };
            let refusal = if element.goto.is_some() {
                Refusal::Reject
            } else {
                Refusal::Drop
            };
            ruleset.refused.push(Refused {
                key,
                name: element.comment.as_deref().and_then(name_in),
                refusal,
            });
        }
    }
    Ok(())
}

/// An element of a map from destinations to verdicts.
struct Element {
    key: Option<Key>,
    /// The chain that it leads to; none if packets end here.
    goto: Option<String>,
    comment: Option<String>,
}

impl Element {
    /// With a comment or a counter, the key is wrapped: `{"elem": {"val": key, "comment": …}}`.
    fn read(element: &Value, is_v6: bool) -> Self {
        let wrapped = element[0].get("elem");
        let key = wrapped.map_or(&element[0], |wrapped| &wrapped["val"]);
        let comment = wrapped.and_then(|wrapped| wrapped["comment"].as_str());
        Self {
            key: key["concat"].as_array().and_then(|parts| destination(parts, is_v6)),
            goto: goto(&element[1]),
            comment: comment.map(str::to_owned),
        }
    }
}

/// Protocol and port, behind an address if it is not a NodePort.
fn destination(parts: &[Value], is_v6: bool) -> Option<Key> {
    let (address, protocol, port) = match parts {
        [address, protocol, port] => (Some(address.as_str()?.parse().ok()?), protocol, port),
        [protocol, port] => (None, protocol, port),
        _ => return None,
    };
    let protocol = Protocol::parse(Some(&protocol.as_str()?.to_ascii_uppercase()))?;
    let port = u16::try_from(port.as_u64()?).ok()?;
    Some(match address {
        Some(address) => Key {
            address: SocketAddr::new(address, port),
            protocol,
        },
        None => Key::node_port(is_v6, port, protocol),
    })
}

/// Adds what a rule leads to.
fn add(chain: &mut super::Chain, expressions: &[Value], times: &HashMap<&str, u32>) {
    let mut only = Only::Everyone;
    for expression in expressions {
        let matched = &expression["match"];
        if let Some(range) = source(matched) {
            only = Only::Sources(range);
        } else if matched["left"]["fib"]["result"] == "type" && matched["right"] == "local" {
            only = Only::Node;
        }
        if let Some(set) = expression["set"]["set"].as_str() {
            // The set that remembers this endpoint's clients.
            chain.affinity = times.get(set.trim_start_matches('@')).copied().or(chain.affinity);
        }
        if expression.get("dnat").is_some() {
            chain.endpoint = endpoint(&expression["dnat"]);
        }
        let choices = expression["vmap"]["data"]["set"].as_array().into_iter().flatten();
        let chosen = choices.filter_map(|choice| goto(&choice[1]));
        let leads = goto(expression).into_iter().chain(chosen);
        let leads = leads.filter(|chain| Role::of(chain).is_some());
        chain.leads.extend(leads.map(|chain| Lead { chain, only }));
    }
}

fn goto(verdict: &Value) -> Option<String> {
    let target = verdict["goto"]["target"]
        .as_str()
        .or_else(|| verdict["jump"]["target"].as_str())?;
    Some(target.to_owned())
}

fn endpoint(dnat: &Value) -> Option<SocketAddr> {
    // A concatenation where the address comes out of a map: none of kube-proxy's.
    let address = dnat["addr"].as_str()?.parse().ok()?;
    Some(SocketAddr::new(address, u16::try_from(dnat["port"].as_u64()?).ok()?))
}

/// `ip saddr RANGE`.
fn source(matched: &Value) -> Option<IpNet> {
    let is_source = matched["left"]["payload"]["field"] == "saddr" && matched["op"] == "==";
    is_source.then(|| ranges(&matched["right"]).first().copied()).flatten()
}

/// `ip saddr != { RANGE, … }`.
fn unless_from(expression: &Value) -> Option<Vec<IpNet>> {
    let matched = &expression["match"];
    let is_source = matched["left"]["payload"]["field"] == "saddr" && matched["op"] == "!=";
    is_source.then(|| ranges(&matched["right"]))
}

/// An address, a prefix, a range from one address to another, or a set of them. nft prints neighbours as one.
fn ranges(value: &Value) -> Vec<IpNet> {
    if let Some(address) = value.as_str() {
        return address
            .parse()
            .map(|address: std::net::IpAddr| vec![address.into()])
            .unwrap_or_default();
    }
    if let Some(set) = value["set"].as_array() {
        return set.iter().flat_map(ranges).collect();
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let (Some(address), Some(bits)) = (text(&value["prefix"]["addr"]), value["prefix"]["len"].as_u64()) {
        return format!("{address}/{bits}")
            .parse()
            .map(|range| vec![range])
            .unwrap_or_default();
    }
    let end = |index: usize| value["range"][index].as_str().and_then(|text| text.parse().ok());
    let ends = end(0).zip(end(1));
    ends.map(|(from, to)| subnets(from, to)).unwrap_or_default()
}

/// The fewest prefixes that have all addresses from one to the other, and no more.
fn subnets(from: IpAddr, to: IpAddr) -> Vec<IpNet> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ipnet::Ipv4Subnets::new(from, to, 0).map(IpNet::from).collect(),
        (IpAddr::V6(from), IpAddr::V6(to)) => ipnet::Ipv6Subnets::new(from, to, 0).map(IpNet::from).collect(),
        _ => Vec::new(),
    }
}

/// From a chain such as `external-ULMVA6XW-default/web/tcp/http`.
fn service_of(chain: &str) -> Option<String> {
    let (_prefix, rest) = chain.split_once('-')?;
    let (_hash, name) = rest.split_once('-')?;
    let parts: Vec<_> = name.split('/').collect();
    match parts[..] {
        [namespace, service, _protocol, ""] => Some(format!("{namespace}/{service}")),
        [namespace, service, _protocol, port] => Some(format!("{namespace}/{service}:{port}")),
        _ => None,
    }
}

/// External IPs and load balancers' addresses look the same, but for the firewall.
fn kind(key: &Key, chain: &str, has_firewall: bool) -> Option<Kind> {
    match Role::of(chain) {
        _ if key.is_node_port() => Some(Kind::NodePort),
        _ if has_firewall => Some(Kind::LoadBalancer),
        Some(Role::Policy(_)) => Some(Kind::ClusterIp),
        _ => None,
    }
}
