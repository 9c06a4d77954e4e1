//! What is known of the objects of one kind, kept up to date by a watch.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::pin::pin;
use std::sync::{Arc, PoisonError, RwLock};

use futures::StreamExt;
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::sync::Notify;
use tracing::warn;

use crate::connect;

/// Objects of a kind by name, each reduced to a `V`. Clones share their content.
#[derive(Clone)]
pub(super) struct Cache<V> {
    older: fn(&V, &V) -> bool,
    objects: Arc<RwLock<Arc<BTreeMap<String, V>>>>,
    changed: Arc<Notify>,
    filled: Arc<tokio::sync::watch::Sender<bool>>,
}

/// Objects while a list comes in: the old ones stay valid until it is complete.
struct Incoming<V>(Option<BTreeMap<String, V>>);

impl<V: Clone + PartialEq> Cache<V> {
    /// An empty cache that says on `changed` when something in it does. `older` says if the first of two states of an
    /// object is surely older than the second.
    pub(super) fn new(changed: Arc<Notify>, older: fn(&V, &V) -> bool) -> Self {
        let filled = Arc::new(tokio::sync::watch::Sender::new(false));
        Self {
            older,
            objects: Arc::default(),
            changed,
            filled,
        }
    }

    /// Takes in an object that we know otherwise than by the watch: as the answer to a write. So the next decision knows
    /// of it, even if the watch is slow; and what the watch brings of the time before does not undo it.
    pub(super) fn put(&self, name: String, value: V) {
        self.update(|objects| match objects.get(&name) {
            Some(known) if *known == value || (self.older)(&value, known) => false,
            _ => {
                objects.insert(name, value);
                true
            }
        });
    }

    /// The objects as they are now.
    pub(super) fn snapshot(&self) -> Arc<BTreeMap<String, V>> {
        Arc::clone(&self.objects.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Is the first list complete?
    pub(super) fn is_filled(&self) -> bool {
        *self.filled.borrow()
    }

    /// Waits until the first list is complete.
    pub(super) async fn filled(&self) {
        // The sender is ours, so the channel can't close.
        let _ = self.filled.subscribe().wait_for(|filled| *filled).await;
    }

    /// Fills the cache, and keeps it up to date for ever. Failures are logged, and the watch is tried again, with
    /// growing waits in between.
    pub(super) async fn fill<K>(&self, api: Api<K>, reduce: impl Fn(K) -> V)
    where
        K: Clone + Debug + DeserializeOwned + Resource<DynamicType = ()> + Send + 'static,
    {
        self.fill_with(api, watcher::Config::default(), reduce).await;
    }

    /// The same, with those objects that `config` selects.
    pub(super) async fn fill_with<K>(&self, api: Api<K>, config: watcher::Config, reduce: impl Fn(K) -> V)
    where
        K: Clone + Debug + DeserializeOwned + Resource<DynamicType = ()> + Send + 'static,
    {
        let mut events = pin!(watch(api, config).default_backoff());
        let mut incoming = Incoming(None);
        while let Some(event) = events.next().await {
            // As long as events come, nothing here would ever wait: others have their turn too.
            tokio::task::coop::consume_budget().await;
            match event {
                Ok(event) => self.take(event, &mut incoming, &reduce),
                Err(error) => {
                    warn!(
                        "{} can't be watched: {}; trying again",
                        K::plural(&()),
                        connect::causes(&error)
                    );
                }
            }
        }
    }

    fn take<K: Resource>(&self, event: Event<K>, incoming: &mut Incoming<V>, reduce: &impl Fn(K) -> V) {
        match event {
            Event::Init => incoming.0 = Some(BTreeMap::new()),
            Event::InitApply(object) => {
                incoming
                    .0
                    .get_or_insert_default()
                    .insert(object.name_any(), reduce(object));
            }
            Event::InitDone => {
                let listed = incoming.0.take().unwrap_or_default();
                self.update(|objects| {
                    let changed = *objects != listed;
                    *objects = listed;
                    changed
                });
                self.filled.send_replace(true);
            }
            Event::Apply(object) => self.put(object.name_any(), reduce(object)),
            Event::Delete(object) => self.update(|objects| objects.remove(&object.name_any()).is_some()),
        }
    }

    fn update(&self, change: impl FnOnce(&mut BTreeMap<String, V>) -> bool) {
        let changed = {
            let mut objects = self.objects.write().unwrap_or_else(PoisonError::into_inner);
            change(Arc::make_mut(&mut objects))
        };
        if changed {
            self.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    type Value = Option<BTreeMap<String, String>>;

    fn object(name: &str, value: &str) -> ConfigMap {
        let data = BTreeMap::from([("value".to_owned(), value.to_owned())]);
        let mut object = ConfigMap {
            data: Some(data),
            ..ConfigMap::default()
        };
        object.metadata.name = Some(name.to_owned());
        object
    }

    /// Values are numbers that grow.
    fn older(first: &Value, second: &Value) -> bool {
        first < second
    }

    struct Fixture {
        cache: Cache<Value>,
        changed: Arc<Notify>,
        incoming: Incoming<Value>,
    }

    fn fixture() -> Fixture {
        let changed = Arc::new(Notify::new());
        Fixture {
            cache: Cache::new(Arc::clone(&changed), older),
            changed,
            incoming: Incoming(None),
        }
    }

    impl Fixture {
        /// Was the change announced?
        fn take(&mut self, event: Event<ConfigMap>) -> bool {
            self.cache
                .take(event, &mut self.incoming, &|object: ConfigMap| object.data);
            self.changed.notified().now_or_never().is_some()
        }

        fn names(&self) -> Vec<String> {
            self.cache.snapshot().keys().cloned().collect()
        }
    }

    #[test]
    fn a_list_is_seen_as_a_whole() {
        let mut fixture = fixture();
        assert!(!fixture.take(Event::Init));
        assert!(!fixture.take(Event::InitApply(object("a", "1"))));
        assert!(fixture.names().is_empty());
        assert!(fixture.cache.filled().now_or_never().is_none());
        assert!(fixture.take(Event::InitDone));
        assert_eq!(fixture.names(), ["a"]);
        assert!(fixture.cache.filled().now_or_never().is_some());
    }

    #[test]
    fn a_new_list_removes_what_is_not_in_it_but_only_when_it_is_complete() {
        let mut fixture = fixture();
        fixture.take(Event::Apply(object("a", "1")));
        fixture.take(Event::Init);
        fixture.take(Event::InitApply(object("b", "1")));
        assert_eq!(fixture.names(), ["a"]);
        assert!(fixture.take(Event::InitDone));
        assert_eq!(fixture.names(), ["b"]);
    }

    #[test]
    fn the_watch_does_not_undo_what_we_know_from_our_own_write() {
        let mut fixture = fixture();
        fixture.take(Event::Apply(object("a", "1")));
        fixture.cache.put("a".to_owned(), object("a", "3").data);
        fixture.take(Event::Apply(object("a", "2")));
        assert_eq!(fixture.cache.snapshot()["a"], object("a", "3").data);
        fixture.take(Event::Apply(object("a", "4")));
        assert_eq!(fixture.cache.snapshot()["a"], object("a", "4").data);
    }

    #[test]
    fn what_does_not_change_the_reduced_object_is_no_change() {
        let mut fixture = fixture();
        assert!(fixture.take(Event::Apply(object("a", "1"))));
        assert!(!fixture.take(Event::Apply(object("a", "1"))));
        assert!(fixture.take(Event::Apply(object("a", "2"))));
        assert!(fixture.take(Event::Delete(object("a", "2"))));
        assert!(!fixture.take(Event::Delete(object("a", "2"))));
    }
}
