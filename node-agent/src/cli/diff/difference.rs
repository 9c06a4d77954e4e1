//! Where rules and maps differ. Pure.

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::frontend::{Affinity, Backends, Frontend, Frontends, Key, Policy, Refusal, Sources};

/// Something that kube-proxy and kpr do otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Difference {
    pub(super) what: What,
    /// `namespace/name:port`, if anybody knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service: Option<String>,
    /// Address and port; the unspecified address stands for every address of the node.
    pub(super) frontend: SocketAddr,
    /// "TCP", "UDP" or "SCTP".
    pub(super) protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) service_type: Option<String>,
    pub(super) kube_proxy: Has,
    pub(super) kpr: Has,
}

/// In what they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum What {
    /// One of them does not have the frontend.
    Frontend,
    Backends,
    /// Those of the node and its pods, past an external traffic policy `Local`.
    BackendsFromNode,
    TrafficPolicy,
    Affinity,
    SourceRanges,
    /// What clients get where there is no backend for them.
    WithoutBackends,
}

/// What one of them has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Has {
    /// No such frontend.
    Nothing,
    Backends(Backends),
    Policy(Policy),
    Affinity(Affinity),
    Sources(Sources),
    Refusal(Refusal),
}

impl What {
    /// For people.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Backends => "backends",
            Self::BackendsFromNode => "backends from the node",
            Self::TrafficPolicy => "traffic policy",
            Self::Affinity => "affinity",
            Self::SourceRanges => "source ranges",
            Self::WithoutBackends => "without backends",
        }
    }
}

/// All differences, by frontend.
pub(super) fn differences(kube_proxy: &Frontends, kpr: &Frontends) -> Vec<Difference> {
    let mut keys: Vec<_> = kube_proxy.keys().chain(kpr.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let of = |key: &Key| {
        let (kube_proxy, kpr) = (kube_proxy.get(key), kpr.get(key));
        let both = || [kube_proxy, kpr].into_iter().flatten();
        let difference = |(what, kube_proxy, kpr)| Difference {
            what,
            service: both().find_map(|frontend| frontend.name.clone()),
            frontend: key.address,
            protocol: key.protocol.to_string(),
            service_type: both()
                .filter_map(|frontend| frontend.kind)
                .next_back()
                .map(|kind| kind.to_string()),
            kube_proxy,
            kpr,
        };
        let found = match (kube_proxy, kpr) {
            (Some(kube_proxy), Some(kpr)) => compare(kube_proxy, kpr),
            (kube_proxy, kpr) => {
                let has = |frontend: Option<&Frontend>| {
                    frontend.map_or(Has::Nothing, |frontend| Has::Backends(frontend.backends.clone()))
                };
                vec![(What::Frontend, has(kube_proxy), has(kpr))]
            }
        };
        found.into_iter().map(difference).collect::<Vec<_>>()
    };
    keys.into_iter().flat_map(of).collect()
}

/// In what a frontend that both have differs, as far as both show it.
fn compare(kube_proxy: &Frontend, kpr: &Frontend) -> Vec<(What, Has, Has)> {
    let backends = Some(&kube_proxy.backends).zip(Some(&kpr.backends));
    // Without a backend on this node, ipvs leads everyone where policy `Local` leads the node and its pods alone.
    let leads_everyone =
        kube_proxy.policy.is_none() && kpr.backends.is_empty() && kpr.from_node.as_ref() == Some(&kube_proxy.backends);
    let none = kube_proxy.backends.is_empty() && kpr.backends.is_empty();
    let parts = [
        differ(What::TrafficPolicy, kube_proxy.policy.zip(kpr.policy), Has::Policy),
        differ(What::Backends, backends.filter(|_| !leads_everyone), |it| {
            Has::Backends(it.clone())
        }),
        differ(
            What::BackendsFromNode,
            kube_proxy.from_node.as_ref().zip(kpr.from_node.as_ref()),
            |it| Has::Backends(it.clone()),
        ),
        differ(What::Affinity, kube_proxy.affinity.zip(kpr.affinity), Has::Affinity),
        differ(
            What::SourceRanges,
            kube_proxy.sources.as_ref().zip(kpr.sources.as_ref()),
            |it| Has::Sources(it.clone()),
        ),
        differ(
            What::WithoutBackends,
            kube_proxy.refusal.zip(kpr.refusal).filter(|_| none),
            Has::Refusal,
        ),
    ];
    parts.into_iter().flatten().collect()
}

fn differ<T: PartialEq>(what: What, both: Option<(T, T)>, has: impl Fn(T) -> Has) -> Option<(What, Has, Has)> {
    let (kube_proxy, kpr) = both.filter(|(kube_proxy, kpr)| kube_proxy != kpr)?;
    Some((what, has(kube_proxy), has(kpr)))
}

impl Has {
    /// For people. `other`: what the other one has.
    pub(super) fn text(&self, other: &Self, is_wide: bool) -> String {
        match (self, other) {
            (Self::Nothing, _) => "not there".to_owned(),
            (Self::Backends(own), Self::Backends(others)) => {
                let only: Vec<_> = own.difference(others).map(ToString::to_string).collect();
                let count = match own.len() {
                    0 => "none".to_owned(),
                    count => count.to_string(),
                };
                match only.as_slice() {
                    [] => count,
                    [first, _, _, ..] if !is_wide => format!("{count}, with {first} and {} more", only.len() - 1),
                    all => format!("{count}, with {}", all.join(", ")),
                }
            }
            (Self::Backends(own), _) => match own.len() {
                0 => "no backends".to_owned(),
                1 => "1 backend".to_owned(),
                count => format!("{count} backends"),
            },
            (Self::Policy(policy), _) => format!("{policy:?}"),
            (Self::Affinity(Affinity::None), _) => "none".to_owned(),
            (Self::Affinity(Affinity::Seconds(seconds)), _) => format!("{seconds}s"),
            (Self::Sources(sources), _) => match sources.ranges() {
                [] => "everyone".to_owned(),
                ranges => ranges.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            },
            (Self::Refusal(Refusal::Reject), _) => "rejects".to_owned(),
            (Self::Refusal(Refusal::Drop), _) => "drops".to_owned(),
        }
    }
}

impl Serialize for Has {
    /// No frontend and no affinity: null. Source ranges that are empty: everyone.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Nothing | Self::Affinity(Affinity::None) => serializer.serialize_none(),
            Self::Backends(backends) => backends.serialize(serializer),
            Self::Affinity(Affinity::Seconds(seconds)) => seconds.serialize(serializer),
            Self::Sources(sources) => sources.ranges().serialize(serializer),
            Self::Policy(_) | Self::Refusal(_) => self.text(self, true).serialize(serializer),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Protocol;

    fn backends(ports: &[u16]) -> Backends {
        ports
            .iter()
            .map(|&port| SocketAddr::from(([10, 244, 0, 2], port)))
            .collect()
    }

    /// A frontend as both show it, which leads to these.
    fn frontend(ports: &[u16]) -> Frontend {
        Frontend {
            name: Some("default/web:http".into()),
            backends: backends(ports),
            policy: Some(Policy::Cluster),
            affinity: Some(Affinity::None),
            sources: Some(Sources::everyone()),
            ..Frontend::default()
        }
    }

    /// Differences of one frontend, in short.
    fn found(kube_proxy: Option<Frontend>, kpr: Option<Frontend>) -> Vec<(What, String, String)> {
        let key = Key::node_port(false, 30_080, Protocol::Tcp);
        let of = |frontend: Option<Frontend>| frontend.into_iter().map(|frontend| (key, frontend)).collect();
        let found = differences(&of(kube_proxy), &of(kpr));
        let short = found.iter().map(|found| {
            let Difference {
                what, kube_proxy, kpr, ..
            } = found;
            (*what, kube_proxy.text(kpr, false), kpr.text(kube_proxy, false))
        });
        short.collect()
    }

    #[test]
    fn each_part_that_differs_is_told_and_only_that() {
        assert_eq!(found(Some(frontend(&[1, 2])), Some(frontend(&[1, 2]))), []);
        let texts = |what, kube_proxy: &str, kpr: &str| vec![(what, kube_proxy.to_owned(), kpr.to_owned())];
        let local = |frontend: Frontend, from_node: &[u16]| Frontend {
            policy: Some(Policy::Local),
            from_node: Some(backends(from_node)),
            ..frontend
        };
        for (kube_proxy, kpr, expected) in [
            (
                Some(frontend(&[1, 2])),
                None,
                texts(What::Frontend, "2 backends", "not there"),
            ),
            (
                None,
                Some(frontend(&[1])),
                texts(What::Frontend, "not there", "1 backend"),
            ),
            (
                Some(frontend(&[1, 2])),
                Some(frontend(&[1, 3])),
                texts(What::Backends, "2, with 10.244.0.2:2", "2, with 10.244.0.2:3"),
            ),
            (
                Some(frontend(&[1, 2, 3, 4])),
                Some(frontend(&[])),
                texts(What::Backends, "4, with 10.244.0.2:1 and 3 more", "none"),
            ),
            (
                Some(local(frontend(&[1]), &[1, 2])),
                Some(local(frontend(&[1]), &[1])),
                texts(What::BackendsFromNode, "2, with 10.244.0.2:2", "1"),
            ),
            (
                Some(local(frontend(&[1]), &[1])),
                Some(frontend(&[1])),
                texts(What::TrafficPolicy, "Local", "Cluster"),
            ),
            (
                Some(Frontend {
                    affinity: Some(Affinity::Seconds(600)),
                    ..frontend(&[1])
                }),
                Some(frontend(&[1])),
                texts(What::Affinity, "600s", "none"),
            ),
            (
                Some(frontend(&[1])),
                Some(Frontend {
                    sources: Some(Sources::of(["203.0.113.0/25".parse().unwrap()], [192, 0, 2, 10].into())),
                    ..frontend(&[1])
                }),
                texts(What::SourceRanges, "everyone", "203.0.113.0/25"),
            ),
        ] {
            assert_eq!(found(kube_proxy, kpr), expected);
        }
    }

    #[test]
    fn what_rules_do_not_show_is_no_difference() {
        let rejected = Frontend {
            refusal: Some(Refusal::Reject),
            ..Frontend::default()
        };
        let without = Frontend {
            refusal: Some(Refusal::Reject),
            affinity: Some(Affinity::Seconds(10_800)),
            policy: Some(Policy::Local),
            ..frontend(&[])
        };
        assert_eq!(found(Some(rejected.clone()), Some(without.clone())), []);
        let dropped = Frontend {
            refusal: Some(Refusal::Drop),
            ..without
        };
        assert_eq!(
            found(Some(rejected), Some(dropped)),
            [(What::WithoutBackends, "rejects".into(), "drops".into())]
        );
    }

    #[test]
    fn ipvs_leads_everyone_where_policy_local_leads_the_node_only() {
        let ipvs = Frontend {
            backends: backends(&[1, 2]),
            ..Frontend::default()
        };
        let local = |ports| Frontend {
            policy: Some(Policy::Local),
            from_node: Some(backends(&[1, 2])),
            ..frontend(ports)
        };
        assert_eq!(found(Some(ipvs.clone()), Some(local(&[]))), []);
        assert_eq!(found(Some(ipvs), Some(local(&[1]))).len(), 1);
    }

    #[test]
    fn programs_get_sets_numbers_and_null() {
        let key = Key::node_port(true, 30_080, Protocol::Udp);
        let kube_proxy = Frontends::from([(
            key,
            Frontend {
                affinity: Some(Affinity::Seconds(60)),
                ..frontend(&[1])
            },
        )]);
        let kpr = Frontends::from([(key, frontend(&[]))]);
        let told = serde_json::to_value(differences(&kube_proxy, &kpr)).unwrap();
        let of = |what: &str, kube_proxy: serde_json::Value, kpr: serde_json::Value| {
            json!({
                "what": what, "service": "default/web:http", "frontend": "[::]:30080", "protocol": "UDP",
                "kubeProxy": kube_proxy, "kpr": kpr,
            })
        };
        let expected = json!([
            of("backends", json!(["10.244.0.2:1"]), json!([])),
            of("affinity", json!(60), json!(null))
        ]);
        assert_eq!(told, expected);
    }
}
