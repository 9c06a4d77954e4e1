//! What became of kube-proxy's leftovers, for people.

use std::collections::BTreeSet;

use super::Kept;

/// What became of kube-proxy's leftovers on this node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// What was removed, each in a few words: `34 chains of iptables-nft (nat, IPv4)`.
    pub removed: Vec<String>,
    /// Chains that stay, because somebody else's rules need them.
    pub kept: BTreeSet<Kept>,
    /// What could not be removed, each with why and with what to do.
    pub failed: Vec<String>,
}

impl Cleared {
    /// There was nothing to do, and nothing failed.
    pub fn is_nothing(&self) -> bool {
        self.removed.is_empty() && self.failed.is_empty()
    }

    /// Why what stays stays, if something does.
    pub fn why_kept(&self) -> Option<String> {
        let one = |kept: &Kept| format!("{} (rules of {} use it)", kept.chain, kept.needed_by);
        let all: Vec<_> = self.kept.iter().map(one).collect();
        (!all.is_empty()).then(|| format!("left in place: {}", all.join(", ")))
    }

    /// What could not be removed, if something could not.
    pub fn trouble(&self) -> Option<String> {
        (!self.failed.is_empty()).then(|| self.failed.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_says_for_whom() {
        let kept = Kept {
            chain: "KUBE-MARK-MASQ".to_owned(),
            needed_by: "CNI-HOSTPORT-SETMARK".to_owned(),
        };
        let cleared = Cleared {
            kept: [kept].into(),
            ..Cleared::default()
        };
        assert_eq!(
            cleared.why_kept().as_deref(),
            Some("left in place: KUBE-MARK-MASQ (rules of CNI-HOSTPORT-SETMARK use it)")
        );
        assert!(cleared.is_nothing() && cleared.trouble().is_none());
    }
}
