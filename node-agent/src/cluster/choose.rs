//! Whom an agent asks.

use super::Peer;

/// So many others at most: enough to tell a broken network from a broken node, and few enough for every node of the largest cluster.
const OTHERS: usize = 16;

/// The own entry first if there is one, then those that follow in the order of names, the first after the last.
pub(super) fn choose(own: &str, peers: &[Peer]) -> Vec<Peer> {
    let mut sorted: Vec<&Peer> = peers.iter().collect();
    sorted.sort_by(|one, other| one.node.cmp(&other.node));
    let (before, after): (Vec<&Peer>, Vec<&Peer>) = sorted.into_iter().partition(|peer| *peer.node < *own);
    let (itself, after): (Vec<&Peer>, Vec<&Peer>) = after.into_iter().partition(|peer| *peer.node == *own);
    let others = after.into_iter().chain(before).take(OTHERS);
    itself.into_iter().chain(others).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn peers(count: u8) -> Vec<Peer> {
        (0..count)
            .map(|number| Peer {
                node: format!("node-{number:03}").into(),
                address: ([192, 168, 49, number], 10256).into(),
            })
            .collect()
    }

    fn names(chosen: &[Peer]) -> Vec<&str> {
        chosen.iter().map(|peer| &*peer.node).collect()
    }

    #[test]
    fn in_a_small_cluster_everybody_is_asked_the_own_node_first() {
        let chosen = choose("node-001", &peers(3));
        assert_eq!(names(&chosen), ["node-001", "node-002", "node-000"]);
        assert_eq!(names(&choose("elsewhere", &peers(2))), ["node-000", "node-001"]);
        assert!(choose("node-000", &[]).is_empty());
    }

    #[test]
    fn in_a_large_one_each_is_asked_by_as_many_as_it_asks() {
        let peers = peers(100);
        let mut asked: BTreeMap<_, usize> = BTreeMap::new();
        for own in &peers {
            let chosen = choose(&own.node, &peers);
            assert_eq!(chosen.len(), OTHERS + 1);
            for other in chosen.iter().filter(|peer| peer.node != own.node) {
                *asked.entry(other.node.clone()).or_default() += 1;
            }
        }
        assert!(
            asked.len() == 100 && asked.values().all(|times| *times == OTHERS),
            "{asked:?}"
        );
    }
}
