//! Rules of a kube-proxy that runs here, or ran and left them.

use super::{
    message::{Attributes, Nfnetlink, attribute},
    nf_tables::{CHAIN_NAME, CHAIN_TABLE, GET_CHAIN, has_table},
    xtables,
};
use crate::takeover::names::{IPVS_DEVICE, NFTABLES_TABLE};

/// A chain of its iptables and ipvs modes, in the table `nat`: the one that all Service traffic passes.
const CHAIN: &str = "KUBE-SERVICES";
const NAT: &str = "nat";

/// Which rules of kube-proxy are on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Of its iptables mode, by either kind of iptables.
    pub iptables: bool,
    /// Of its nftables mode.
    pub nftables: bool,
    /// Of its ipvs mode, which has chains of iptables, too: the device with all Services' addresses.
    pub ipvs: bool,
}

impl Found {
    /// Whether there are any.
    pub fn any(self) -> bool {
        self.iptables || self.nftables || self.ipvs
    }
}

impl std::fmt::Display for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kinds: Vec<&str> = [
            (self.iptables, "iptables"),
            (self.nftables, "nftables"),
            (self.ipvs, "ipvs"),
        ]
        .into_iter()
        .filter_map(|(there, kind)| there.then_some(kind))
        .collect();
        match kinds[..] {
            [] => f.write_str("no rules"),
            _ => write!(f, "{} rules", kinds.join(" and ")),
        }
    }
}

/// Looks for rules, in the network namespace that this thread is in. Changes nothing: a table of the older iptables that isn't in
/// use is not asked for, since the question would make it. What can't be read is taken for absent.
pub fn rules() -> Found {
    let mut found = Found {
        iptables: has_legacy_chain(),
        nftables: false,
        ipvs: nix::net::if_::if_nametoindex(IPVS_DEVICE).is_ok(),
    };
    if let Ok(netfilter) = Nfnetlink::open() {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let family = u8::try_from(family).unwrap_or_default();
            found.nftables |= has_table(&netfilter, family, NFTABLES_TABLE);
            let named = |value: Option<&[u8]>, name: &str| {
                value.and_then(|value| value.strip_suffix(b"\0")) == Some(name.as_bytes())
            };
            // A kernel without nf_tables refuses.
            let _ = netfilter.list(GET_CHAIN, family, &Attributes::default(), |chain| {
                let in_nat = named(attribute(chain, CHAIN_TABLE), NAT);
                found.iptables |= in_nat && named(attribute(chain, CHAIN_NAME), CHAIN);
            });
        }
    }
    found
}

/// Whether the chain is in a `nat` table of the older iptables.
fn has_legacy_chain() -> bool {
    xtables::Family::ALL.into_iter().any(|family| {
        let table = xtables::Table::read(family, NAT).ok().flatten();
        table.is_some_and(|table| table.mentions(CHAIN))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_named_by_their_kind() {
        let both = Found {
            iptables: true,
            nftables: true,
            ipvs: false,
        };
        assert_eq!(both.to_string(), "iptables and nftables rules");
        assert_eq!(Found::default().to_string(), "no rules");
        assert!(both.any() && !Found::default().any());
    }
}
