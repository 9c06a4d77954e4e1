//! The maps of a node: those that programs write, and all.

use crate::rig::Rig;
use aya::{
    Pod,
    maps::{Array, HashMap, Map, MapData, MapError, PerCpuArray},
};
use kpr_abi::{
    AffinityKey, AffinityValue, Cookie, FlowKey, FlowValue, FragmentKey, FragmentValue, PeerKey, PeerValue, V4, V6,
    maps,
};
use kpr_node_agent::datapath::{Contents, MapFamily, Pins, dump};
use std::fmt::Debug;

/// The entries of every map that programs write.
pub(super) fn written(node: &Rig) -> Vec<String> {
    let counters: PerCpuArray<_, u64> = map(node, maps::COUNTERS);
    let counters = counters.iter().map(|value| format!("{:?}", value.unwrap()));
    let mut all: Vec<String> = counters.collect();
    all.extend(written_of::<V4>(node));
    all.extend(written_of::<V6>(node));
    all
}

/// The entries of every pinned map.
pub(super) fn all(node: &Rig) -> Vec<String> {
    let root = &node.options.bpffs_root;
    let contents = (dump::services4(root).unwrap(), dump::services6(root).unwrap());
    let (v4, v6): (Option<Contents<V4>>, Option<Contents<V6>>) = contents;
    let mut all = written(node);
    all.extend([format!("{v4:?}"), format!("{v6:?}")]);
    all.extend(read_of::<V4>(node));
    all.extend(read_of::<V6>(node));
    all
}

fn read_of<F: MapFamily>(node: &Rig) -> Vec<String> {
    let mut all = entries::<F::Addr, u32>(node, F::LOCAL);
    all.extend(entries::<u32, F::Addr>(node, F::SNAT_SOURCE));
    let filter: Array<_, u32> = map(node, F::FILTER);
    all.extend(filter.iter().map(|bits| format!("{:?}", bits.unwrap())));
    all
}

fn written_of<F: MapFamily>(node: &Rig) -> Vec<String> {
    let mut all = entries::<FlowKey<F::Addr>, FlowValue<F::Addr>>(node, F::FLOWS);
    all.extend(entries::<AffinityKey<F::Addr>, AffinityValue>(node, F::AFFINITY));
    all.extend(entries::<FragmentKey<F::Addr>, FragmentValue>(node, F::FRAGMENTS));
    all.extend(entries::<Cookie, PeerValue<F::Addr>>(node, F::SOCKETS));
    all.extend(entries::<PeerKey<F::Addr>, PeerValue<F::Addr>>(node, F::PEERS));
    let loads: Array<_, u64> = map(node, F::LOADS);
    let lingering: Array<_, u32> = map(node, F::LINGERING);
    all.extend(loads.iter().map(|load| format!("{:?}", load.unwrap())));
    all.extend(lingering.iter().map(|any| format!("{:?}", any.unwrap())));
    all
}

fn entries<K: Pod + Debug, V: Pod + Debug>(node: &Rig, name: &str) -> Vec<String> {
    let map: HashMap<_, K, V> = map(node, name);
    let mut entries: Vec<_> = map.iter().map(|entry| format!("{:?}", entry.unwrap())).collect();
    entries.sort_unstable();
    entries
}

/// A pinned map.
pub(super) fn map<T: TryFrom<Map, Error = MapError>>(node: &Rig, name: &str) -> T {
    let data = MapData::from_pin(Pins::new(&node.options.bpffs_root).map(name)).unwrap();
    T::try_from(Map::from_map_data(data).unwrap()).unwrap()
}
