//! Names of what is kube-proxy's (pkg/proxy/{iptables,ipvs,nftables}/cleanup.go).
//!
//! Not here, because they are the kubelet's: `KUBE-FIREWALL`, `KUBE-KUBELET-CANARY`, `KUBE-MARK-DROP`.

/// The table of its nftables mode, in `ip` and in `ip6`.
pub const NFTABLES_TABLE: &str = "kube-proxy";

/// The device of its ipvs mode, which has every Service's address.
pub const IPVS_DEVICE: &str = "kube-ipvs0";

/// Tables of iptables that it has chains in.
pub const TABLES: [&str; 3] = ["nat", "filter", "mangle"];

/// Marks a packet that is to be masqueraded; programs such as the CNI plugin `portmap` can be told to use it.
pub const MARK: &str = "KUBE-MARK-MASQ";
/// Masquerades what is marked.
pub const MASQUERADE: &str = "KUBE-POSTROUTING";

const NAT: &[&str] = &[
    "KUBE-SERVICES",
    "KUBE-NODEPORTS",
    MASQUERADE,
    MARK,
    "KUBE-PROXY-CANARY",
    "KUBE-NODE-PORT",
    "KUBE-LOAD-BALANCER",
];
/// Chains of one Service port or of one endpoint, in the table `nat`. Before 1.24 there was `KUBE-XLB-`.
const NAT_PREFIXES: &[&str] = &[
    "KUBE-SVC-",
    "KUBE-SVL-",
    "KUBE-EXT-",
    "KUBE-FW-",
    "KUBE-SEP-",
    "KUBE-XLB-",
];
const FILTER: &[&str] = &[
    "KUBE-SERVICES",
    "KUBE-EXTERNAL-SERVICES",
    "KUBE-FORWARD",
    "KUBE-NODEPORTS",
    "KUBE-PROXY-FIREWALL",
    "KUBE-PROXY-CANARY",
    "KUBE-NODE-PORT",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
];
const MANGLE: &[&str] = &["KUBE-PROXY-CANARY"];

const NAT_JUMPS: &[(&str, &str)] = &[
    ("PREROUTING", "KUBE-SERVICES"),
    ("OUTPUT", "KUBE-SERVICES"),
    ("POSTROUTING", MASQUERADE),
];
const FILTER_JUMPS: &[(&str, &str)] = &[
    ("INPUT", "KUBE-EXTERNAL-SERVICES"),
    ("FORWARD", "KUBE-EXTERNAL-SERVICES"),
    ("INPUT", "KUBE-NODEPORTS"),
    ("INPUT", "KUBE-SERVICES"),
    ("FORWARD", "KUBE-SERVICES"),
    ("OUTPUT", "KUBE-SERVICES"),
    ("FORWARD", "KUBE-FORWARD"),
    ("INPUT", "KUBE-PROXY-FIREWALL"),
    ("OUTPUT", "KUBE-PROXY-FIREWALL"),
    ("FORWARD", "KUBE-PROXY-FIREWALL"),
    ("INPUT", "KUBE-NODE-PORT"),
    ("INPUT", "KUBE-IPVS-FILTER"),
    ("OUTPUT", "KUBE-IPVS-OUT-FILTER"),
];

/// Whether a chain of this name, in this table of iptables, is kube-proxy's.
pub fn is_chain(table: &str, chain: &str) -> bool {
    match table {
        "nat" => NAT.contains(&chain) || NAT_PREFIXES.iter().any(|prefix| chain.starts_with(prefix)),
        "filter" => FILTER.contains(&chain),
        "mangle" => MANGLE.contains(&chain),
        _ => false,
    }
}

/// Whether kube-proxy itself leads packets from this built-in chain to that chain of its own.
pub fn is_jump(table: &str, from: &str, to: &str) -> bool {
    match table {
        "nat" => NAT_JUMPS.contains(&(from, to)),
        "filter" => FILTER_JUMPS.contains(&(from, to)),
        _ => false,
    }
}

/// Sets of its ipvs mode, for IPv4; those of IPv6 have another prefix.
const SETS: [&str; 17] = [
    "KUBE-LOOP-BACK",
    "KUBE-CLUSTER-IP",
    "KUBE-EXTERNAL-IP",
    "KUBE-EXTERNAL-IP-LOCAL",
    "KUBE-LOAD-BALANCER",
    "KUBE-LOAD-BALANCER-LOCAL",
    "KUBE-LOAD-BALANCER-FW",
    "KUBE-LOAD-BALANCER-SOURCE-IP",
    "KUBE-LOAD-BALANCER-SOURCE-CIDR",
    "KUBE-NODE-PORT-TCP",
    "KUBE-NODE-PORT-LOCAL-TCP",
    "KUBE-NODE-PORT-UDP",
    "KUBE-NODE-PORT-LOCAL-UDP",
    "KUBE-NODE-PORT-SCTP-HASH",
    "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
    "KUBE-HEALTH-CHECK-NODE-PORT",
    "KUBE-IPVS-IPS",
];
/// `IPSET_MAXNAMELEN` without the end.
const SET_NAME: usize = 31;

/// Names of all sets, of both families: `KUBE-6-` stands for `KUBE-`, and what is too long then is cut.
pub fn sets() -> impl Iterator<Item = String> {
    SETS.iter().flat_map(|name| {
        let mut v6 = name.replacen("KUBE-", "KUBE-6-", 1);
        v6.truncate(SET_NAME);
        [(*name).to_owned(), v6]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_of_the_kubelet_and_of_others_are_not_kube_proxys() {
        for chain in [
            "KUBE-FIREWALL",
            "KUBE-KUBELET-CANARY",
            "KUBE-MARK-DROP",
            "CNI-HOSTPORT-DNAT",
            "DOCKER",
        ] {
            assert!(TABLES.iter().all(|table| !is_chain(table, chain)), "{chain}");
        }
        assert!(!is_chain("raw", "KUBE-SERVICES"));
        assert!(!is_chain("filter", "KUBE-MARK-MASQ"), "it is only in nat");
    }

    #[test]
    fn every_jump_leads_to_a_chain_of_kube_proxys() {
        for (table, jumps) in [("nat", NAT_JUMPS), ("filter", FILTER_JUMPS)] {
            for (from, to) in jumps {
                assert!(
                    is_chain(table, to) && is_jump(table, from, to),
                    "{table}: {from} to {to}"
                );
            }
        }
        assert!(!is_jump("nat", "POSTROUTING", MARK));
    }

    #[test]
    fn sets_of_ipv6_fit_into_what_the_kernel_allows() {
        let all: Vec<_> = sets().collect();
        assert_eq!(all.len(), 34);
        assert!(all.iter().all(|name| name.len() <= SET_NAME));
        assert!(all.contains(&"KUBE-6-LOAD-BALANCER-SOURCE-CID".to_owned()), "{all:?}");
    }
}
