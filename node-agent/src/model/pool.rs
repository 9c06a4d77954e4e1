//! Texts that objects say again and again (namespaces, nodes, zones, port names), each kept once.

use std::sync::Arc;

use crate::hash::HashSet;

/// Every text that some object has.
#[derive(Debug, Default)]
pub(super) struct Pool {
    texts: HashSet<Arc<str>>,
    /// So many, and it is looked for those that nobody has any more.
    full: usize,
}

/// Fewer are not worth the look.
const FEW: usize = 1_024;

impl Pool {
    /// Puts the one that all have in the place of this one.
    pub(super) fn share(&mut self, text: &mut Arc<str>) {
        if let Some(known) = self.texts.get(text) {
            *text = Arc::clone(known);
            return;
        }
        if self.texts.len() >= self.full.max(FEW) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.full = 2 * self.texts.len();
        }
        self.texts.insert(Arc::clone(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_are_one_and_those_that_nobody_has_are_forgotten() {
        let mut pool = Pool::default();
        let mut kept: [Arc<str>; 2] = ["node-a".into(), "node-a".into()];
        for text in &mut kept {
            pool.share(text);
        }
        assert!(Arc::ptr_eq(&kept[0], &kept[1]));
        for number in 0..10 * FEW {
            pool.share(&mut format!("node-{number}").into());
        }
        assert!(pool.texts.len() <= FEW + 1, "{}", pool.texts.len());
        let mut again: Arc<str> = "node-a".into();
        pool.share(&mut again);
        assert!(Arc::ptr_eq(&again, &kept[0]));
    }
}
