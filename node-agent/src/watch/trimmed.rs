//! Objects that are cut down while they are decoded. Of a list of tens of megabytes only the text and what is needed ever lie in memory.

use std::{borrow::Cow, fmt};

use k8s_openapi::api::{core::v1, discovery};
use kube::{Resource, core::ObjectMeta};
use serde::{Deserialize, Deserializer};

use crate::model::input::{
    InputError, ServiceInput, SliceInput,
    raw::{self, Meta},
};

/// What can be made of an object while it is decoded.
pub(super) trait Trim: Clone + fmt::Debug + Send + Sync + 'static {
    /// The kind of the object.
    type Kind: Resource<DynamicType = ()>;
    /// What is read of it.
    type Raw<'a>: Deserialize<'a>;

    /// Its `metadata`.
    fn meta<'r>(raw: &'r Self::Raw<'_>) -> &'r Meta<'r>;
    /// What is needed of it.
    fn trim(raw: &Self::Raw<'_>) -> Result<Self, InputError>;
}

/// An object of which `T` is left.
#[derive(Clone, Debug)]
pub(super) struct Trimmed<T> {
    /// No more than the watch needs: `resourceVersion`.
    meta: ObjectMeta,
    pub(super) input: Result<T, InputError>,
}

impl Trim for ServiceInput {
    type Kind = v1::Service;
    type Raw<'a> = raw::Service<'a>;

    fn meta<'r>(raw: &'r raw::Service<'_>) -> &'r Meta<'r> {
        &raw.metadata
    }

    fn trim(raw: &raw::Service<'_>) -> Result<Self, InputError> {
        Self::parse(raw)
    }
}

impl Trim for SliceInput {
    type Kind = discovery::v1::EndpointSlice;
    type Raw<'a> = raw::EndpointSlice<'a>;

    fn meta<'r>(raw: &'r raw::EndpointSlice<'_>) -> &'r Meta<'r> {
        &raw.metadata
    }

    fn trim(raw: &raw::EndpointSlice<'_>) -> Result<Self, InputError> {
        Self::parse(raw)
    }
}

impl<'de, T: Trim> Deserialize<'de> for Trimmed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = T::Raw::deserialize(deserializer)?;
        Ok(Self {
            meta: ObjectMeta {
                resource_version: T::meta(&raw).resource_version(),
                ..ObjectMeta::default()
            },
            input: T::trim(&raw),
        })
    }
}

impl<T: Trim> Resource for Trimmed<T> {
    type DynamicType = ();
    type Scope = <T::Kind as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        T::Kind::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        T::Kind::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        T::Kind::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        T::Kind::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}

#[cfg(test)]
mod tests {
    use kube::{
        ResourceExt as _,
        core::{ObjectList, WatchEvent},
    };

    use super::*;

    const SERVICE: &str = r#"{"metadata": {"name": "web", "namespace": "default", "resourceVersion": "7"}, "spec": {"clusterIP": "None"}}"#;

    #[test]
    fn an_object_of_a_list_and_of_an_event_is_known_by_its_name_and_version() {
        let list = format!(
            r#"{{"kind": "ServiceList", "apiVersion": "v1", "metadata": {{"continue": "x"}}, "items": [{SERVICE}]}}"#
        );
        let list: ObjectList<Trimmed<ServiceInput>> = serde_json::from_str(&list).unwrap();
        assert_eq!(list.metadata.continue_.as_deref(), Some("x"));
        let event = format!(r#"{{"type": "MODIFIED", "object": {SERVICE}}}"#);
        let WatchEvent::Modified(changed) = serde_json::from_str(&event).unwrap() else {
            panic!("not a change: {event}");
        };
        for service in [&list.items[0], &changed] {
            assert_eq!(service.resource_version().as_deref(), Some("7"));
            assert_eq!(service.input.as_ref().unwrap().name().to_string(), "default/web");
        }
    }

    #[test]
    fn an_object_without_a_name_is_no_reason_to_lose_the_list() {
        let service: Trimmed<ServiceInput> = serde_json::from_str(r#"{"metadata": {"namespace": "default"}}"#).unwrap();
        assert_eq!(service.input.unwrap_err().to_string(), "object without metadata.name");
    }
}
