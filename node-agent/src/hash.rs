//! Hash tables with a hash that is seeded anew in each process, as the standard one, and costs a fraction of it: a hundred thousand
//! endpoints are looked up several times in a sync.

use foldhash::fast::RandomState;

/// A map.
pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, RandomState>;
/// A set.
pub(crate) type HashSet<T> = std::collections::HashSet<T, RandomState>;
