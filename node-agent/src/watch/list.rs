//! From the events of a watcher to changes: lists are collected and handed over whole.

use kube::runtime::watcher::Event;

use super::{Change, gate::Kind};
use crate::model::{NamespacedName, input::InputError};

/// A kind of which many objects are watched.
pub(super) trait Listed: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static {
    /// The object, cut down to what the model needs.
    type Input: Send;
    /// Which part of the gate it opens.
    const KIND: Kind;

    /// Cuts the object down.
    fn input(self) -> Result<Self::Input, InputError>;
    /// Its name.
    fn name(self) -> Result<NamespacedName, InputError>;
    /// All objects of the kind.
    fn all(inputs: Vec<Self::Input>) -> Change;
    /// A new or changed object.
    fn one(input: Self::Input) -> Change;
    /// An object that is gone.
    fn gone(name: NamespacedName) -> Change;
}

/// A kind of which one object, whose name is known, is watched.
pub(super) trait Named: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + 'static {
    /// What it says, or that it is not there.
    fn change(found: Option<Self>) -> Change;
}

/// Collects lists.
#[derive(Debug)]
pub(super) struct Lister<K: Listed> {
    /// The list that is being read, cut down object by object: a whole cluster never lies in memory untrimmed.
    reading: Vec<K::Input>,
}

impl<K: Listed> Default for Lister<K> {
    fn default() -> Self {
        Self { reading: Vec::new() }
    }
}

impl<K: Listed> Lister<K> {
    /// Takes an event; returns the change that it makes complete, if any.
    pub(super) fn on(&mut self, event: Event<K>) -> Result<Option<Change>, InputError> {
        Ok(match event {
            Event::Init => {
                self.reading.clear();
                None
            }
            Event::InitApply(object) => {
                self.reading.push(object.input()?);
                None
            }
            Event::InitDone => Some(K::all(std::mem::take(&mut self.reading))),
            Event::Apply(object) => Some(K::one(object.input()?)),
            Event::Delete(object) => Some(K::gone(object.name()?)),
        })
    }
}

/// Follows one object.
#[derive(Debug, Default)]
pub(super) struct Follower {
    /// Whether the list that is being read has shown it.
    seen: bool,
}

impl Follower {
    /// Takes an event; returns the change that it makes complete, if any.
    pub(super) fn on<K: Named>(&mut self, event: Event<K>) -> Option<Change> {
        match event {
            Event::Init => {
                self.seen = false;
                None
            }
            Event::InitApply(object) => {
                self.seen = true;
                Some(K::change(Some(object)))
            }
            Event::InitDone => (!self.seen).then(|| K::change(None)),
            Event::Apply(object) => Some(K::change(Some(object))),
            Event::Delete(_) => Some(K::change(None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;

    use super::*;
    use crate::{model::input::ServiceInput, watch::trimmed::Trimmed};

    fn service(name: &str) -> Trimmed<ServiceInput> {
        let text = format!(r#"{{"metadata": {{"name": "{name}", "namespace": "default"}}}}"#);
        serde_json::from_str(&text).unwrap()
    }

    fn names(change: Change) -> Vec<String> {
        match change {
            Change::Services(all) => all.iter().map(|s| s.name().to_string()).collect(),
            other => panic!("not a list: {other:?}"),
        }
    }

    #[test]
    fn a_list_is_handed_over_whole_and_nothing_before_it_is() {
        let mut lister = Lister::default();
        assert_eq!(lister.on(Event::Init), Ok(None));
        assert_eq!(lister.on(Event::InitApply(service("a"))), Ok(None));
        assert_eq!(lister.on(Event::InitApply(service("b"))), Ok(None));
        let all = lister.on(Event::InitDone).unwrap().unwrap();
        assert_eq!(names(all), ["default/a", "default/b"]);
    }

    #[test]
    fn a_list_that_broke_off_is_forgotten_when_it_begins_again() {
        let mut lister = Lister::<Trimmed<ServiceInput>>::default();
        for event in [
            Event::Init,
            Event::InitApply(service("old")),
            Event::Init,
            Event::InitApply(service("new")),
        ] {
            assert_eq!(lister.on(event), Ok(None));
        }
        assert_eq!(names(lister.on(Event::InitDone).unwrap().unwrap()), ["default/new"]);
    }

    #[test]
    fn single_changes_pass_through() {
        let mut lister = Lister::default();
        assert!(matches!(
            lister.on(Event::Apply(service("a"))),
            Ok(Some(Change::Service(_)))
        ));
        let gone = lister.on(Event::Delete(service("a"))).unwrap();
        assert_eq!(gone, Some(Change::ServiceGone(NamespacedName::new("default", "a"))));
    }

    #[test]
    fn an_object_that_a_list_does_not_show_is_absent() {
        let mut follower = Follower::default();
        let events = [
            Event::Init,
            Event::InitDone,
            Event::Apply(Node::default()),
            // Deleted while the watch was interrupted: only the new list tells.
            Event::Init,
            Event::InitDone,
        ];
        let present: Vec<_> = events
            .into_iter()
            .filter_map(|event| follower.on(event))
            .map(|change| matches!(change, Change::Node(Some(_))))
            .collect();
        assert_eq!(present, [false, true, false]);
    }
}
