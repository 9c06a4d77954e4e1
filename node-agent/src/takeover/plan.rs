//! Which rules and chains of a table of iptables go.
//!
//! kube-proxy's chains, and the jumps to them from the built-in ones. A chain that somebody else's rule leads to stays, with
//! everything that it needs: taking it away is impossible, and taking that rule away none of our business.

use std::collections::{BTreeMap, BTreeSet};

use super::names;

/// A chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// It is one of the hooks of the table, such as `PREROUTING`.
    pub built_in: bool,
    /// Its rules, in their order.
    pub rules: Vec<Rule>,
}

/// A rule, as far as it matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What the rule is known by in the kernel.
    pub id: u64,
    /// Chains that it leads to.
    pub to: Vec<String>,
}

/// What goes from a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Rules of built-in chains: the chain and the rule's id.
    pub rules: Vec<(String, u64)>,
    /// Chains, with all of their rules.
    pub chains: Vec<String>,
    /// Chains of kube-proxy that stay.
    pub kept: Vec<Kept>,
}

/// A chain of kube-proxy that stays.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kept {
    /// The chain.
    pub chain: String,
    /// The chain with the rule that needs it.
    pub needed_by: String,
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty() && self.chains.is_empty()
    }
}

/// What goes from the table of this name.
pub fn plan(table: &str, chains: &[Chain]) -> Plan {
    let is_own = |chain: &str| names::is_chain(table, chain);
    let is_own_jump = |from: &Chain, to: &str| from.built_in && names::is_jump(table, &from.name, to);
    let kept = kept(chains, is_own, is_own_jump);

    let mut plan = Plan::default();
    for chain in chains {
        if chain.built_in {
            let goes = |rule: &&Rule| {
                let mut own = rule.to.iter().filter(|to| is_own(to)).peekable();
                own.peek().is_some() && own.all(|to| is_own_jump(chain, to) && !kept.contains_key(to.as_str()))
            };
            let rules = chain.rules.iter().filter(goes);
            plan.rules.extend(rules.map(|rule| (chain.name.clone(), rule.id)));
        } else if is_own(&chain.name) && !kept.contains_key(chain.name.as_str()) {
            plan.chains.push(chain.name.clone());
        }
    }
    plan.kept = kept
        .into_iter()
        .map(|(chain, needed_by)| Kept {
            chain: chain.to_owned(),
            needed_by: needed_by.to_owned(),
        })
        .collect();
    plan
}

/// Own chains that a foreign rule leads to, and what these need in turn; each with whose rule it is.
fn kept<'c>(
    chains: &'c [Chain],
    is_own: impl Fn(&str) -> bool,
    is_own_jump: impl Fn(&Chain, &str) -> bool,
) -> BTreeMap<&'c str, &'c str> {
    let there: BTreeSet<&str> = chains.iter().map(|chain| chain.name.as_str()).collect();
    let mut kept: BTreeMap<&str, &str> = BTreeMap::new();
    let mut next: Vec<(&str, &str)> = Vec::new();
    for chain in chains.iter().filter(|chain| !is_own(&chain.name)) {
        let needed = chain.rules.iter().flat_map(|rule| &rule.to);
        let needed = needed.filter(|to| is_own(to) && !is_own_jump(chain, to));
        next.extend(needed.map(|to| (to.as_str(), chain.name.as_str())));
    }
    while let Some((chain, needed_by)) = next.pop() {
        if kept.contains_key(chain) {
            continue;
        }
        kept.insert(chain, needed_by);
        // A mark means nothing without the chain that acts upon it.
        if chain == names::MARK && there.contains(names::MASQUERADE) {
            next.push((names::MASQUERADE, needed_by));
        }
        let rules = chains
            .iter()
            .filter(|other| other.name == chain)
            .flat_map(|other| &other.rules);
        let needed = rules.flat_map(|rule| &rule.to).filter(|to| is_own(to));
        next.extend(needed.map(|to| (to.as_str(), needed_by)));
    }
    kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Chains from the lines of `iptables-save`: `:CHAIN POLICY` and `-A CHAIN … -j TARGET`. A rule's id is its line's number.
    fn read(saved: &str) -> Vec<Chain> {
        let mut chains: Vec<Chain> = Vec::new();
        for (number, line) in (0..).zip(saved.lines().map(str::trim)) {
            if let Some(head) = line.strip_prefix(':') {
                let (name, policy) = head.split_once(' ').unwrap();
                chains.push(Chain {
                    name: name.to_owned(),
                    built_in: policy != "-",
                    rules: Vec::new(),
                });
            } else if let Some(rule) = line.strip_prefix("-A ") {
                let (name, rest) = rule.split_once(' ').unwrap();
                let to = rest
                    .rsplit_once("-j ")
                    .map(|(_, target)| target.split(' ').next().unwrap());
                let chain = chains.iter_mut().find(|chain| chain.name == name).unwrap();
                let to = to.into_iter().map(str::to_owned).collect();
                chain.rules.push(Rule { id: number, to });
            }
        }
        chains
    }

    /// The lines that stay.
    fn left(table: &str, saved: &str) -> String {
        let plan = plan(table, &read(saved));
        let goes = |(number, line): &(u64, &str)| {
            let chain = line.trim_start_matches("-A ").trim_start_matches(':').split(' ').next();
            plan.chains.iter().any(|gone| Some(gone.as_str()) == chain) || plan.rules.iter().any(|(_, id)| id == number)
        };
        let lines = (0..).zip(saved.lines().map(str::trim));
        lines
            .filter(|line| !goes(line))
            .map(|(_, line)| format!("{line}\n"))
            .collect()
    }

    const NAT: &str = ":PREROUTING ACCEPT\n\
        :OUTPUT ACCEPT\n\
        :POSTROUTING ACCEPT\n\
        :CNI-HOSTPORT-DNAT -\n\
        :FLANNEL-POSTRTG -\n\
        :KUBE-KUBELET-CANARY -\n\
        :KUBE-MARK-DROP -\n\
        :KUBE-MARK-MASQ -\n\
        :KUBE-POSTROUTING -\n\
        :KUBE-PROXY-CANARY -\n\
        :KUBE-SEP-AAAAAAAAAAAAAAAA -\n\
        :KUBE-SERVICES -\n\
        :KUBE-SVC-BBBBBBBBBBBBBBBB -\n\
        -A PREROUTING -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
        -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n\
        -A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n\
        -A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n\
        -A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\n\
        -A POSTROUTING -m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING\n\
        -A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE\n\
        -A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000\n\
        -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n\
        -A KUBE-POSTROUTING -j MASQUERADE --random-fully\n\
        -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -j KUBE-SVC-BBBBBBBBBBBBBBBB\n\
        -A KUBE-SVC-BBBBBBBBBBBBBBBB -j KUBE-SEP-AAAAAAAAAAAAAAAA\n\
        -A KUBE-SEP-AAAAAAAAAAAAAAAA -s 10.244.0.2/32 -j KUBE-MARK-MASQ\n\
        -A KUBE-SEP-AAAAAAAAAAAAAAAA -p tcp -j DNAT --to-destination 10.244.0.2:6443\n";

    #[test]
    fn exactly_kube_proxys_rules_go_from_among_those_of_the_kubelet_and_of_others() {
        assert_eq!(
            left("nat", NAT),
            ":PREROUTING ACCEPT\n\
             :OUTPUT ACCEPT\n\
             :POSTROUTING ACCEPT\n\
             :CNI-HOSTPORT-DNAT -\n\
             :FLANNEL-POSTRTG -\n\
             :KUBE-KUBELET-CANARY -\n\
             :KUBE-MARK-DROP -\n\
             -A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n\
             -A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n\
             -A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\n\
             -A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -j MASQUERADE\n\
             -A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000\n"
        );
    }

    #[test]
    fn in_the_filter_table_the_kubelets_firewall_stays() {
        let saved = ":INPUT ACCEPT\n\
            :FORWARD DROP\n\
            :KUBE-FIREWALL -\n\
            :KUBE-FORWARD -\n\
            :KUBE-KUBELET-CANARY -\n\
            -A INPUT -j KUBE-FIREWALL\n\
            -A FORWARD -m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD\n\
            -A FORWARD -s 10.244.0.0/16 -j ACCEPT\n\
            -A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 -m comment --comment \"block incoming localnet connections\" -j DROP\n\
            -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP\n";
        let gone = ["KUBE-FORWARD"];
        let expected: String = saved
            .lines()
            .map(str::trim)
            .filter(|line| !gone.iter().any(|name| line.contains(name)))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(left("filter", saved), expected);
    }

    #[test]
    fn what_somebody_elses_rule_leads_to_stays_with_what_it_needs() {
        let saved = NAT.replace(
            ":CNI-HOSTPORT-DNAT -\n",
            ":CNI-HOSTPORT-DNAT -\n:CNI-HOSTPORT-SETMARK -\n",
        ) + "-A CNI-HOSTPORT-SETMARK -m comment --comment \"CNI portfwd masquerade mark\" -j KUBE-MARK-MASQ\n";
        let plan = plan("nat", &read(&saved));
        let needed = |chain: &str| Kept {
            chain: chain.to_owned(),
            needed_by: "CNI-HOSTPORT-SETMARK".to_owned(),
        };
        assert_eq!(plan.kept, [needed("KUBE-MARK-MASQ"), needed("KUBE-POSTROUTING")]);
        let left = left("nat", &saved);
        assert!(left.contains("-j KUBE-POSTROUTING"), "{left}");
        assert!(!left.contains("KUBE-SERVICES"), "{left}");
    }

    #[test]
    fn where_nothing_of_kube_proxy_is_nothing_goes() {
        assert!(plan("nat", &read(&left("nat", NAT))).is_empty(), "the second time");
        assert!(plan("raw", &read(NAT)).is_empty(), "it has none there");
    }

    fn tables() -> impl Strategy<Value = Vec<Chain>> {
        let own = [
            "KUBE-SERVICES",
            "KUBE-MARK-MASQ",
            "KUBE-POSTROUTING",
            "KUBE-SVC-1",
            "KUBE-SEP-1",
        ];
        let others = ["KUBE-FIREWALL", "KUBE-KUBELET-CANARY", "CNI-A", "CNI-B"];
        let hooks = ["PREROUTING", "OUTPUT", "POSTROUTING"];
        let users: Vec<&'static str> = own.into_iter().chain(others).collect();
        let rules = prop::collection::vec(prop::option::of(prop::sample::select(users.clone())), 0..5);
        let names: Vec<_> = hooks.into_iter().chain(users).collect();
        prop::collection::vec(rules, names.len()).prop_map(move |all| {
            let mut id = 0;
            let mut rule = |to: Option<&str>| {
                id += 1;
                Rule {
                    id,
                    to: to.into_iter().map(str::to_owned).collect(),
                }
            };
            names
                .iter()
                .zip(all)
                .map(|(name, targets)| Chain {
                    name: (*name).to_owned(),
                    built_in: hooks.contains(name),
                    rules: targets.into_iter().map(&mut rule).collect(),
                })
                .collect()
        })
    }

    proptest! {
        /// Whatever leads where: nothing of others goes, and what goes leaves no rule that leads nowhere.
        #[test]
        fn only_kube_proxys_goes_and_no_rule_is_left_without_its_chain(chains in tables()) {
            let plan = plan("nat", &chains);
            for chain in &plan.chains {
                prop_assert!(names::is_chain("nat", chain));
            }
            for chain in chains.iter().filter(|chain| !plan.chains.contains(&chain.name)) {
                let gone = |rule: &Rule| plan.rules.contains(&(chain.name.clone(), rule.id));
                for rule in &chain.rules {
                    let leads_to_gone = rule.to.iter().any(|to| plan.chains.contains(to));
                    prop_assert_eq!(leads_to_gone, gone(rule), "{} {:?}", chain.name, rule);
                    if gone(rule) {
                        prop_assert!(chain.built_in);
                    }
                }
            }
            // And of kube-proxy's, only what is needed stays.
            let foreign = |chain: &&Chain| !names::is_chain("nat", &chain.name);
            if !chains.iter().filter(foreign).any(|chain| chain.rules.iter().flat_map(|rule| &rule.to)
                .any(|to| names::is_chain("nat", to) && !(chain.built_in && names::is_jump("nat", &chain.name, to)))) {
                prop_assert!(plan.kept.is_empty());
            }
        }
    }
}
