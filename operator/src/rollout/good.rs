//! The last configuration that is known to be good in the pool.

use std::cell::OnceCell;

use kpr_crds::NodeDatapathSpec;

use super::{Member, Memory, health};

/// Found when it is asked for: only a rollout that was stopped needs it.
pub(super) struct Good<'p, 'a> {
    pool: &'p [Member<'a>],
    newest: &'p NodeDatapathSpec,
    found: OnceCell<Option<NodeDatapathSpec>>,
}

impl<'p, 'a> Good<'p, 'a> {
    pub(super) fn new(pool: &'p [Member<'a>], newest: &'p NodeDatapathSpec) -> Self {
        Self {
            pool,
            newest,
            found: OnceCell::new(),
        }
    }

    /// The newest spec before the one that failed with which a node of the pool serves, or served.
    pub(super) fn spec(&self) -> Option<&NodeDatapathSpec> {
        self.found.get_or_init(|| self.find()).as_ref()
    }

    fn find(&self) -> Option<NodeDatapathSpec> {
        let datapaths = || self.pool.iter().filter_map(Member::active);
        let served = datapaths()
            .filter(|datapath| health::settled(datapath))
            .map(|datapath| datapath.spec.clone());
        let remembered = datapaths().filter_map(|datapath| Memory::of(datapath)?.last_good);
        served
            .chain(remembered)
            .filter(|spec| spec.policy == self.newest.policy && spec.policy_generation != self.newest.policy_generation)
            .max_by_key(|spec| spec.policy_generation)
    }
}
